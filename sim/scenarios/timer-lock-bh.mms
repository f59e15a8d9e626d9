# As timer-lock-inversion.mms, corrected.

scenario "a timer takes a lock that a task holds with bottom halves disabled"

globals { spinlock stats_lock  word sent  word timeouts }

task send { with bh stats_lock { add sent 1 } }

timer watchdog after 10 times 2 { with stats_lock { add timeouts 1 } }

never { deadlock }
