/* SPDX-License-Identifier: MIT */
/* Signatures that minisign 0.11 made, whole and with every byte of theirs changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hp/err.h"
#include "trust/minisign.h"

/* `minisign -G -W`, `minisign -G` with the password "pw"; never used for anything. */
static const char plain_public[] =
	"untrusted comment: minisign public key D0ABE882F0FCBA5D expires:2030-12-31\n"
	"RWRduvzwguir0L2M95XcrOERlq+pmSh5JLJKzxZIaTu0rnyecRxjdh14\n";
static const char plain_secret[] =
	"untrusted comment: minisign encrypted secret key\n"
	"RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAXbr88ILoq9CM9l/8lACk"
	"V/B4jVC8/9JDkEAAf8BMuNf2p+cY/JIJp72M95XcrOERlq+pmSh5JLJKzxZIaTu0rnyecRxjdh14AAAAAAAAAAAAAAAA"
	"AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
static const char locked_secret[] =
	"untrusted comment: minisign encrypted secret key\n"
	"RWRTY0Iyl7iXEjsf3rAa172opiPKopVKnM29gAm1ci6Nle8QxaIAAAACAAAAAAAAAEAAAAAASsOFz+0IbXKv+7lL5XQw"
	"PHyhcXOkTC9ZfipEbLTLOM9UsRdLl3YXgyb5AV2PUJTL9YoLw1wMv8mVYaMEO+esk/J2vYqQKbTB3w5qi8UCnyloiNQ3"
	"U08sxwvhwd58ZAWeKeVmB446Sx8=\n";
static const char of_hi[] =
	"untrusted comment: signature from minisign secret key\n"
	"RURduvzwguir0GKbNS9YKeAC8YD8pLBUWzyNLT1pdSlW4gwGmCzULq8HbelFQnOy08dHzURMe2RPi/D4T8Me/FjxHjQm"
	"nn23WQY=\n"
	"trusted comment: hello expires:2030-01-01\n"
	"ecFY+ghNscdOtg9bjuaAST+PVLZbuuF9GInXzNoB+EMV8NVKxVkpV74wA173XODgDcpABCNlOEo57SL4q6SGAg==\n";

#define IN_2026 1795313431

static struct hp_err err;

static struct hp_public_key public(void)
{
	struct hp_public_key key;

	assert_int_equal(hp_minisign_read_public(plain_public, "n.pub", &key, &err), 0);
	return key;
}

static struct hp_signature signature(void)
{
	struct hp_signature sig;

	assert_int_equal(hp_minisign_read_signature(of_hi, "f.minisig", &sig, &err), 0);
	return sig;
}

static void takes_what_minisign_made(void **state)
{
	struct hp_public_key key = public();
	struct hp_signature sig = signature();
	char id[HP_KEY_ID_TEXT];

	hp_key_id_text(key.id, id);
	assert_string_equal(id, "D0ABE882F0FCBA5D");
	assert_string_equal(sig.comment, "hello expires:2030-01-01");
	assert_true(sig.hashed);
	assert_int_equal(hp_minisign_verify(&sig, &key, "hi\n", 3, IN_2026, &err), 0);
}

static void refuses_every_changed_bit(void **state)
{
	struct hp_public_key key = public();
	struct hp_signature sig = signature();

	assert_int_equal(hp_minisign_verify(&sig, &key, "ho\n", 3, IN_2026, &err), -HP_E_SIGNATURE);
	assert_non_null(strstr(err.text, "not what was signed"));
	assert_int_equal(hp_minisign_verify(&sig, &key, "hi\n", 2, IN_2026, &err), -HP_E_SIGNATURE);
	for (size_t bit = 0; bit < sizeof(sig.sig) * 8; bit++) {
		sig.sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(hp_minisign_verify(&sig, &key, "hi\n", 3, IN_2026, &err),
				 -HP_E_SIGNATURE);
		sig.sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
		sig.global[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(hp_minisign_verify(&sig, &key, "hi\n", 3, IN_2026, &err),
				 -HP_E_SIGNATURE);
		sig.global[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	sig.comment[0] = 'H';
	assert_int_equal(hp_minisign_verify(&sig, &key, "hi\n", 3, IN_2026, &err), -HP_E_SIGNATURE);
	assert_non_null(strstr(err.text, "trusted comment"));
}

static void refuses_another_key(void **state)
{
	struct hp_public_key key = public();
	struct hp_signature sig = signature();

	key.id[3] ^= 1;
	assert_int_equal(hp_minisign_verify(&sig, &key, "hi\n", 3, IN_2026, &err), -HP_E_SIGNATURE);
	assert_non_null(strstr(err.text, "another key"));
}

static void knows_when_it_ends(void **state)
{
	struct hp_public_key key = public();
	struct hp_signature sig = signature();
	time_t end = 1893456000 + 86400; /* 2030-01-02 00:00 UTC */

	assert_int_equal(sig.expires, end);
	assert_int_equal(hp_minisign_verify(&sig, &key, "hi\n", 3, end - 1, &err), 0);
	assert_int_equal(hp_minisign_verify(&sig, &key, "hi\n", 3, end, &err), -HP_E_SIGNATURE);
	assert_non_null(strstr(err.text, "expired"));
	sig.expires = 0;
	assert_int_equal(hp_minisign_verify(&sig, &key, "hi\n", 3, end, &err), 0);
	assert_int_equal(hp_minisign_verify(&sig, &key, "hi\n", 3, key.expires, &err),
			 -HP_E_SIGNATURE);
	assert_non_null(strstr(err.text, "key D0ABE882F0FCBA5D has expired"));
}

static void reads_dates(void **state)
{
	time_t t;

	assert_int_equal(hp_expiry_read("a comment", "x", &t, &err), 0);
	assert_int_equal(t, 0);
	assert_int_equal(hp_expiry_read("noexpires:never", "x", &t, &err), 0);
	assert_int_equal(t, 0);
	assert_int_equal(hp_expiry_read("expires:1970-01-01 and on", "x", &t, &err), 0);
	assert_int_equal(t, 86400);
	assert_int_equal(hp_expiry_read("expires:1969-12-31", "x", &t, &err), 0);
	assert_int_not_equal(t, 0);
	assert_true(t < 86400);
	assert_int_equal(hp_expiry_read("expires:1960-02-29", "x", &t, &err), 0);
	assert_true(t < 0);
	assert_int_equal(hp_expiry_read("expires:2026-02-29", "x", &t, &err), -HP_E_SIGNATURE);
	assert_int_equal(hp_expiry_read("expires:2028-02-29", "x", &t, &err), 0);
	assert_int_equal(hp_expiry_read("expires:soon", "x", &t, &err), -HP_E_SIGNATURE);
	assert_int_equal(hp_expiry_read("expires:2030-01-01T00", "x", &t, &err), -HP_E_SIGNATURE);
}

static void signs(void **state)
{
	struct hp_public_key key = public();
	struct hp_secret_key secret;
	struct hp_signature sig;
	bool encrypted;
	char *text;

	assert_int_equal(hp_minisign_read_secret(plain_secret, "n.key", NULL, &secret, &encrypted,
						 &err), 0);
	assert_false(encrypted);
	assert_int_equal(hp_minisign_sign(&secret, "patch", 5, "for nginx", &text, &err), 0);
	assert_int_equal(hp_minisign_read_signature(text, "x", &sig, &err), 0);
	assert_string_equal(sig.comment, "for nginx");
	assert_int_equal(hp_minisign_verify(&sig, &key, "patch", 5, IN_2026, &err), 0);
	free(text);
	assert_int_equal(hp_minisign_sign(&secret, "patch", 5, "two\nlines", &text, &err),
			 -HP_E_USAGE);
}

static void asks_for_the_password(void **state)
{
	struct hp_secret_key secret;
	char id[HP_KEY_ID_TEXT];
	bool encrypted;

	assert_int_equal(hp_minisign_read_secret(locked_secret, "k.key", NULL, &secret, &encrypted,
						 &err), -HP_E_SIGNATURE);
	assert_true(encrypted);
	assert_int_equal(hp_minisign_read_secret(locked_secret, "k.key", "no", &secret, &encrypted,
						 &err), -HP_E_SIGNATURE);
	assert_non_null(strstr(err.text, "wrong password"));
	assert_int_equal(hp_minisign_read_secret(locked_secret, "k.key", "pw", &secret, &encrypted,
						 &err), 0);
	hp_key_id_text(secret.id, id);
	assert_string_equal(id, "C457497242C07632");
}

/* Whatever is cut off or put in its place. */
static void refuses_what_is_no_signature(void **state)
{
	struct hp_signature sig;
	struct hp_public_key key;
	char text[sizeof(of_hi)];

	for (size_t n = 0; n + 4 < sizeof(of_hi); n++) {
		memcpy(text, of_hi, n);
		text[n] = '\0';
		assert_int_equal(hp_minisign_read_signature(text, "x", &sig, &err),
				 -HP_E_SIGNATURE);
	}
	for (size_t n = 0; n + 4 < sizeof(plain_public); n++) {
		memcpy(text, plain_public, n);
		text[n] = '\0';
		assert_int_equal(hp_minisign_read_public(text, "x", &key, &err), -HP_E_SIGNATURE);
	}
	assert_int_equal(hp_minisign_parse_public("RWRduvzwgui", "x", &key, &err), -HP_E_SIGNATURE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_minisign_made),
		cmocka_unit_test(refuses_every_changed_bit),
		cmocka_unit_test(refuses_another_key),
		cmocka_unit_test(knows_when_it_ends),
		cmocka_unit_test(reads_dates),
		cmocka_unit_test(signs),
		cmocka_unit_test(asks_for_the_password),
		cmocka_unit_test(refuses_what_is_no_signature),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
