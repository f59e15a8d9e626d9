# Two locks in two orders, among many turns on private locks: still three traces. (The seed is that of a run that
# deadlocks.)

scenario "two orders, padded"

expect { LD-CIRCULAR, PROG-DEADLOCK }

machine { seed 25 }

globals { mutex a  mutex b  mutex of_one  mutex of_two }

task one { repeat 10 { with of_one { } }  with a { with b { } }  repeat 10 { with of_one { } } }
task two { repeat 10 { with of_two { } }  with b { with a { } }  repeat 10 { with of_two { } } }
