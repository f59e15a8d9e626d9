# A sequence and a count of open invalidations that are changed without the driver's lock, as KVM's
# (mmu_invalidate_retry() in include/linux/kvm_host.h, kvm_mmu_invalidate_end()) are read without it. Each of the four barriers
# is needed: without any one, the device gets a page that was unmapped and freed.

scenario "the sequence check with its barriers"

machine { memory_model relaxed }

globals { mutex dev_lock  word active  word seq  word pte 2  word dev  word freed }

task unmap {
    with dev_lock { store active 1  store dev 0 }
    store pte 0
    smp_wmb             # the entry before the sequence
    store seq 1
    smp_wmb             # the sequence before the count
    store active 0
    store freed 2
}

task fault {
    load s seq
    smp_rmb             # the sequence before the entry
    load page pte
    if page is 0 { return }
    with dev_lock {
        load busy active
        if busy is 1 { return }
        smp_rmb         # the count before the sequence
        load now seq
        if now not s { return }
        store dev page
    }
    with dev_lock {
        load page dev
        if page not 0 { load gone freed  check gone not page }
    }
}
