"""The tests are tested: code that is spoiled on purpose must not pass. The long form is `make sabotage`."""

import pytest
from sabotage import NOT_CAUGHT, ROOT, SABOTAGES, Sabotage, attempt, copy_project


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.what)
def test_every_sabotage_still_has_its_target(sabotage: Sabotage) -> None:
    compile(sabotage.spoiled(ROOT), sabotage.file, "exec")
    for test in sabotage.tests:
        file, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / "tests" / file).read_text(), test


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    copy_project(root)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.what)
def test_every_sabotage_is_caught(sabotage: Sabotage, project) -> None:
    assert attempt(sabotage, project) != NOT_CAUGHT
