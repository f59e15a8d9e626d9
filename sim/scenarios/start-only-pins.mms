# A list subscriber that hears of starts only, and pins what it looks up. It looked a page up before the unmapping was
# announced and publishes it afterwards: nothing tells it a second time. The pin keeps the page the device's, so nothing of
# others is harmed; but it is not the process's page any more. A driver must see, under the lock that its callback takes,
# that a start came between: i915 gives its look-up up when its callback cancelled it (userptr-corrected.mms).

scenario "start only, with pins: published after the start"

expect { STALE }

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }

device toy : list(A) {
    mutex obj_lock
    on start(range) { if blockable { with obj_lock { zap range } } else { refuse } }
    op bind(range) { pin range  sync looked_up  with obj_lock { map range }  sync published }
}

task ioctl { toy.bind 0x10000..0x11000  sync bound  toy.read 0x10000 }
task unmap { munmap A 0x10000..0x11000  sync unmapped }

order {
    ioctl@user.looked_up < unmap@notifier.range_start < ioctl@toy.obj_lock
    ioctl@user.published < unmap@mm.free
    unmap@user.unmapped < ioctl@user.bound
}
