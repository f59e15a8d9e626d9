//! The second executor: the same raw locks on OS threads.

use ksync::{RawMutex, RawRwSem};

#[test]
fn a_mutex_excludes_os_threads() {
    let lock: lock_api::Mutex<RawMutex, u64> = lock_api::Mutex::new(0);
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..10_000 {
                    *lock.lock() += 1;
                }
            });
        }
    });
    assert_eq!(lock.into_inner(), 40_000);
}

#[test]
fn a_rwsem_excludes_writers_and_shares_readers_on_os_threads() {
    let lock: lock_api::RwLock<RawRwSem, (u64, u64)> = lock_api::RwLock::new((0, 0));
    std::thread::scope(|s| {
        for i in 0..4 {
            let lock = &lock;
            s.spawn(move || {
                for n in 0..5_000 {
                    if (n + i) % 4 == 0 {
                        let mut g = lock.write();
                        g.0 += 1;
                        g.1 += 1;
                        if n % 3 == 0 {
                            let g = lock_api::RwLockWriteGuard::downgrade(g);
                            assert_eq!(g.0, g.1);
                        }
                    } else {
                        let g = lock.read();
                        assert_eq!(g.0, g.1);
                    }
                }
            });
        }
    });
    assert_eq!(lock.into_inner(), (5_000, 5_000));
}
