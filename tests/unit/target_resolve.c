/* SPDX-License-Identifier: MIT */
#include "target_twins.h"

#include "elf/image.h"
#include "target/resolve.h"

static hp_addr function(const char *spec)
{
	struct hp_resolved r;
	struct hp_err err = {0};

	if (hp_resolve_function(t, spec, &r, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(r.addr == r.vaddr + r.module->bias);
	assert_true(hp_in(r.module->span, r.addr));
	return r.addr;
}

static void refused(const char *spec, int code, const char *says)
{
	struct hp_resolved r;
	struct hp_err err = {0};

	assert_int_equal(hp_resolve_function(t, spec, &r, &err), -code);
	if (!strstr(err.text, says))
		fail_msg("%s: %s", spec, err.text);
}

/* What every way of linking has in common. */
static void names(void)
{
	hp_addr only = function("twins_only"), first, second;
	char spec[64];

	first = function("twins.c:twin");
	second = function("twins_other.c:twin");
	assert_true(first && second && first != second);
	refused("twin", HP_E_AMBIGUOUS, "twins_other.c:twin");
	refused("twins_onyl", HP_E_NO_SYMBOL, "did you mean twins_only");
	refused("twins_data", HP_E_NOT_FUNCTION, "data");
	refused("twins_chosen", HP_E_NOT_FUNCTION, "IFUNC");
	refused("nowhere.so.1:twin", HP_E_NO_SYMBOL, "not found");
	refused("@0x", HP_E_NO_SYMBOL, "address");
	refused("@0xffffffff0000", HP_E_NO_SYMBOL, "not in");
	(void)snprintf(spec, sizeof(spec), "@0x%llx",
		       (unsigned long long)(only - hp_target_exe(t)->bias));
	assert_int_equal(function(spec), only);
}

static void finds_by_name_file_and_address(void **state)
{
	static const char *const programs[] = {"twins", "twins-nopie", "twins-static"};
	char bytes[4];

	for (size_t i = 0; i < 3; i++) {
		begin(programs[i]);
		names();
		assert_int_equal(hp_mem_read(t, function("main"), bytes, 4, NULL), 0);
		end();
	}
}

static void finds_in_libraries(void **state)
{
	struct hp_bound bound[] = {{.name = "getpid", .version = "GLIBC_2.2.5", .needed = true},
				   {.name = "no_such_thing", .version = "V1", .needed = true},
				   {.name = "twins_only", .needed = true},
				   {.name = "getpid", .version = "GLIBC_9"}};
	struct hp_resolved r;
	struct hp_err err = {0};

	begin("twins");
	assert_string_equal(t->module[0].name, "twins");
	assert_true(t->module[0].exe);
	assert_int_equal(hp_resolve_function(t, "libc.so.6:getpid", &r, &err), 0);
	assert_string_equal(r.module->image->soname, "libc.so.6");
	assert_int_equal(hp_resolve_any(t, "twins_data", &r, &err), 0);
	assert_int_equal(hp_resolve_any(t, "twins_tls", &r, &err), -HP_E_TLS);
	assert_int_equal(hp_resolve_imports(t, bound, 4, &err), 0);
	assert_string_equal(bound[0].module->image->soname, "libc.so.6");
	assert_true(bound[0].addr == bound[0].vaddr + bound[0].module->bias);
	assert_null(bound[1].module);
	assert_int_equal(hp_resolve_undefined(t, &bound[1], &err), -HP_E_UNDEFINED);
	assert_non_null(strstr(err.text, "undefined symbol no_such_thing@V1: neither"));
	assert_true(bound[2].module->exe); /* static */
	assert_int_equal(bound[2].addr, function("twins_only"));
	assert_null(bound[3].module);
	end();
}

static void finds_in_a_stripped_program(void **state)
{
	begin("twins-stripped");
	(void)function("twins_only"); /* exported */
	refused("twins.c:twin", HP_E_NO_SYMBOL, "not found");
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_by_name_file_and_address),
		cmocka_unit_test(finds_in_libraries),
		cmocka_unit_test(finds_in_a_stripped_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
