/* SPDX-License-Identifier: MIT */
/* Last-Modified is the epoch; headers go out by way of a function that counts. */
#include <hp/patch.h>

HP_ORIG(unsigned char *, ngx_http_time, (unsigned char *buf, long t));
HP_NEW unsigned char *new_time(unsigned char *buf, long t);
HP_NEW unsigned char *new_time(unsigned char *buf, long t)
{
	return ngx_http_time_orig(buf, 0);
}
HP_REPLACE(new_time, "ngx_http_time");

static volatile unsigned long sent;

HP_ORIG(long, ngx_http_send_header, (void *request));
HP_NEW long new_send_header(void *request);
HP_NEW long new_send_header(void *request)
{
	sent++;
	return ngx_http_send_header_orig(request);
}
HP_REPLACE(new_send_header, "ngx_http_send_header");
