# The smallest deadlock. The pins make each task hold its first lock before either asks for its second; the validator
# reports the cycle when the last edge of it is learnt, and needs no deadlock for that: without the `order` section it
# finds the same. With both tasks in one order it is silent.

scenario "two locks in two orders"

expect { LD-CIRCULAR, PROG-DEADLOCK }

machine { memory 16M  swap 4M  seed 1 }

mm A {
    vma 0x10000..0x50000 rw anon
}

device toy : interval(A, 0x10000..0x50000) {
    mutex a
    mutex b
}

task one { with toy.a { sync first  sync second  with toy.b { } } }
task two { with toy.b { sync first  sync second  with toy.a { } } }

order {
    one@user.first < two@user.second
    two@user.first < one@user.second
}

assert { blocked_tasks == 2 }
