# Three philosophers, three forks: six orders in which all eat, and the deadlock. (The seed is that of a run that
# deadlocks.)

scenario "three philosophers"

expect { LD-CIRCULAR, PROG-DEADLOCK }

machine { seed 3 }

globals { mutex one  mutex two  mutex three }

task first { with one { with two { } } }
task second { with two { with three { } } }
task third { with three { with one { } } }
