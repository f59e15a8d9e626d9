/*
 * Writes /proc/self/maps after start-up and at exit, for shootdown strace (docs/strace.md).
 *
 *   cc -shared -fPIC -O2 -o mapdump.so mapdump.c
 *   MAPDUMP=$PWD/prog strace -f -y -e trace=%memory,%process -e signal=none -o prog.strace \
 *       -E LD_PRELOAD=$PWD/mapdump.so prog args
 *
 * makes prog.PID.COMM.start.maps and prog.PID.COMM.end.maps. The failing munmap tells the log when. Nothing here allocates:
 * what is written must be what the program has.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void copy(const char *from, int to)
{
	char part[4096];
	ssize_t n;
	int fd = open(from, O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && (n = read(fd, part, sizeof(part))) > 0)
		if (write(to, part, n) != n)
			break;
	close(fd);
}

static void dump(unsigned long marker, const char *kind)
{
	char comm[17] = "", name[4096];
	const char *stem = getenv("MAPDUMP");
	int fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, comm, sizeof(comm) - 1);

	close(fd);
	if (!stem || n < 2)
		return;
	comm[n - 1] = 0;
	snprintf(name, sizeof(name), "%s.%d.%s.%s.maps", stem, getpid(), comm, kind);
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	munmap((void *)marker, 0);
	copy("/proc/self/maps", fd);
	close(fd);
}

__attribute__((constructor)) static void at_start(void)
{
	dump(0x5eed0000, "start");
}

__attribute__((destructor)) static void at_exit(void)
{
	dump(0x5eed1000, "end");
}
