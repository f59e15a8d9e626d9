# Each task has a lock of its own: nobody can tell their orders apart, and one run is all of them.

scenario "private locks"

globals { mutex of_one  mutex of_two }

task one { repeat 10 { with of_one { } } }
task two { repeat 10 { with of_two { } } }
