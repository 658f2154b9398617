"use strict";
// A click on a head sorts its table: numbers as numbers, what was not measured last; a second click turns it round.
for (const head of document.querySelectorAll("th")) {
  const sort = () => {
    const rows = head.closest("table").tBodies[0];
    const column = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const text = (row) => row.cells[column].textContent;
    const absent = (row) => row.cells[column].className === "none";
    const number = (row) => row.cells[column].className === "number";
    const value = (row) => parseFloat(text(row).replaceAll(",", ""));
    const order = (a, b) => (number(a) && number(b) ? value(a) - value(b) : text(a).localeCompare(text(b)));
    const compare = (a, b) => absent(a) - absent(b) || (down ? order(b, a) : order(a, b));
    rows.append(...[...rows.rows].sort(compare));
  };
  head.addEventListener("click", sort);
  head.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      sort();
    }
  });
}
for (const slider of document.querySelectorAll(".slider")) {
  const control = slider.querySelector("input");
  const move = () => slider.style.setProperty("--at", control.value + "%");
  control.addEventListener("input", move);
  const drag = (event) => {
    const box = slider.querySelector(".both").getBoundingClientRect();
    control.value = (100 * (event.clientX - box.left)) / box.width;
    move();
  };
  slider.querySelector(".both").addEventListener("pointermove", (event) => event.buttons && drag(event));
  slider.querySelector(".both").addEventListener("pointerdown", drag);
}
