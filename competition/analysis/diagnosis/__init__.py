"""What a run's predictions get wrong, where and why, in tables of numbers: `door.analyse` leads in."""
