# Two locks in two orders: one task first, the other first, or the deadlock. Three traces. (The seed is that of a run that
# deadlocks.)

scenario "two orders"

expect { LD-CIRCULAR, PROG-DEADLOCK }

machine { seed 2 }

globals { mutex a  mutex b }

task one { with a { with b { } } }
task two { with b { with a { } } }
