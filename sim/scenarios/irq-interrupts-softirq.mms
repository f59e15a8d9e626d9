# A hardirq interrupts a softirq, and wants its lock. The task is not involved: neither handler takes a lock that it takes.

scenario "a hardirq wants a lock that a softirq holds"

expect { LD-IRQ }

globals { spinlock ring_lock  word done }

task idle { add done 1 }

softirq net_rx { with ring_lock { } }
irq eth0 { with ring_lock { } }
