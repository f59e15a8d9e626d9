# Two locks in two orders, and a third lock around both. The validator knows orders, not what else is held: it reports the
# cycle all the same. No schedule ends in it, since no two tasks can be inside of the outer lock at once; the tool says so.
# Without the outer lock in one of the tasks it is a real deadlock.

scenario "an inversion behind a gate"

expect { LD-CIRCULAR }

machine { memory 16M  swap 4M  seed 1 }

mm A {
    vma 0x10000..0x50000 rw anon
}

device toy : interval(A, 0x10000..0x50000) {
    mutex outer
    mutex a
    mutex b
}

task one { with toy.outer { with toy.a { with toy.b { } } } }
task two { with toy.outer { with toy.b { with toy.a { } } } }

never { deadlock }
