# A handler wants a lock that a task takes with interrupts enabled. No run has to deadlock for the validator to see it; if the
# interrupt arrives at the task's CPU in the wrong place, one does. `irq-lock-irqsave.mms` is the same without the bug.

scenario "a handler takes a lock that a task holds with interrupts enabled"

expect { LD-IRQ }

globals { spinlock queue_lock  word packets }

task send { with queue_lock { add packets 1 } }
task poll { load n packets }

irq eth0 { with queue_lock { add packets 1 } }
