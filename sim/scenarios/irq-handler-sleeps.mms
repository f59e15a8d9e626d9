# A handler must not sleep, nor may a task that has disabled interrupts.

scenario "a handler that takes a mutex"

expect { CTX, LD-WAIT }

globals { mutex config  spinlock queue_lock }

task send { with irqsave queue_lock { alloc 1 GFP_KERNEL } }

irq eth0 { with config { } }
