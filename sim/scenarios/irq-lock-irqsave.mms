# As irq-lock-inversion.mms, corrected: the task keeps the handler from its CPU while it holds the lock. Every schedule is fine.

scenario "a handler takes a lock that a task holds with interrupts disabled"

globals { spinlock queue_lock  word packets }

task send { with irqsave queue_lock { add packets 1 } }
task poll { load n packets }

irq eth0 { with queue_lock { add packets 1 } }

never { deadlock }
