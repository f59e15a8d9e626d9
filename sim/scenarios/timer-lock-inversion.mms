# A timer expires in a softirq, which comes in where bottom halves are enabled: as irq-lock-inversion.mms, of a timer. The
# delay is no help: a task may be slow. `timer-lock-bh.mms` is the same without the bug.

scenario "a timer takes a lock that a task holds with bottom halves enabled"

expect { LD-IRQ }

globals { spinlock stats_lock  word sent  word timeouts }

task send { with stats_lock { add sent 1 } }

timer watchdog after 10 times 2 { with stats_lock { add timeouts 1 } }
