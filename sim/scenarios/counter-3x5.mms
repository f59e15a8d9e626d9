# Three tasks that take one lock five times each: 15! / (5! 5! 5!) = 756,756 traces.

scenario "a counter: three tasks, five times"

globals { mutex lock }

task one { repeat 5 { with lock { } } }
task two { repeat 5 { with lock { } } }
task three { repeat 5 { with lock { } } }
