/* What a C library's resolver makes of a name: one line for each time it is asked, with the
 * result's name, the time in microseconds and the addresses in their order.
 *
 * usage: resolve NAME FAMILY(0, 4 or 6) COUNT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static const char *name_of(int code)
{
	switch (code) {
	case 0: return "OK";
	case EAI_NONAME: return "EAI_NONAME";
	case EAI_AGAIN: return "EAI_AGAIN";
	case EAI_FAIL: return "EAI_FAIL";
#ifdef EAI_NODATA
	case EAI_NODATA: return "EAI_NODATA";
#endif
	case EAI_SYSTEM: return "EAI_SYSTEM";
	default: return "OTHER";
	}
}

static double microseconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	hints.ai_family = argv[2][0] == '4' ? AF_INET : argv[2][0] == '6' ? AF_INET6 : AF_UNSPEC;
	for (int n = atoi(argv[3]); n > 0; n--) {
		struct addrinfo *found = NULL;
		double begun = microseconds();
		int code = getaddrinfo(argv[1], NULL, &hints, &found);
		printf("%s %.1f", name_of(code), microseconds() - begun);
		for (struct addrinfo *a = code ? NULL : found; a; a = a->ai_next) {
			char text[INET6_ADDRSTRLEN] = "?";
			const void *address = a->ai_family == AF_INET
				? (const void *)&((struct sockaddr_in *)a->ai_addr)->sin_addr
				: (const void *)&((struct sockaddr_in6 *)a->ai_addr)->sin6_addr;
			inet_ntop(a->ai_family, address, text, sizeof text);
			printf(" %s", text);
		}
		printf("\n");
		if (!code)
			freeaddrinfo(found);
	}
	return 0;
}
