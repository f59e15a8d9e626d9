# Nobody holds the handler's lock with interrupts enabled, and still it can be waited for with the handler's CPU stopped: one
# task takes another lock under it, which a second task holds with interrupts enabled when the handler comes in.
#
#     send                      stats                    eth0, at the CPU of stats
#     lock queue_lock, irqs off
#                               lock stats_lock
#                                                        lock queue_lock: waits for send
#     lock stats_lock: waits for stats, which is interrupted

scenario "a lock that is not safe from interrupts under one that is"

expect { LD-IRQ }

globals { spinlock queue_lock  spinlock stats_lock }

task send { with irqsave queue_lock { with stats_lock { } } }
task stats { with stats_lock { } }

irq eth0 { with queue_lock { } }
