# Two tasks that take one lock ten times each. Every order of their critical sections is a trace of its own: 20 over 10,
# 184,756 of them.

scenario "a counter: two tasks, ten times"

globals { mutex lock }

task one { repeat 10 { with lock { } } }
task two { repeat 10 { with lock { } } }
