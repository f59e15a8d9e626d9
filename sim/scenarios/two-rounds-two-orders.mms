# Two rounds of two nested locks, each task in the other order of its round before: nine traces, three of them deadlocks.
# (The seed is that of a run that deadlocks.)

scenario "two rounds in alternating orders"

expect { LD-CIRCULAR, PROG-DEADLOCK }

machine { seed 2 }

globals { mutex a  mutex b }

task one { with a { with b { } }  with b { with a { } } }
task two { with b { with a { } }  with a { with b { } } }
