# SPDX-License-Identifier: MIT
"""Tells gdb of the patches that hp has loaded into a process, live or in a core dump.

    gdb -p PID -x /usr/local/share/hp/hp-gdb.py
    gdb -x /usr/local/share/hp/hp-gdb.py PROGRAM CORE

hp maps a patch without the dynamic linker, so gdb, which asks that one, does not know of it.  This
script finds patches in the list of mappings, and behind hp's ledger in memory the ELF object that
describes stubs, path blocks and moved heads.  It runs once when it is sourced; the command
"hp-patches" looks again.
"""
import atexit
import os
import re
import shutil
import struct
import tempfile

import gdb

PATCH = re.compile(r"/[0-9a-f]{64}\.so$")
LEDGER = re.compile(r"/memfd:hp-patch-")
# start end size offset [permissions] file
MAPPING = re.compile(r"\s*0x([0-9a-f]+)\s+0x([0-9a-f]+)\s+0x[0-9a-f]+\s+0x([0-9a-f]+)\s+"
                     r"(?:[rwxps-]{4}\s+)?(\S.*)")
PAGE = 4096
AREA_MAX = 4 << 20


class Patches(gdb.Command):
    """Reads the symbols of the patches that hp has loaded."""

    def __init__(self):
        super().__init__("hp-patches", gdb.COMMAND_FILES)
        self.known = set()
        self.folder = None

    def invoke(self, argument, from_tty):
        try:
            text = gdb.execute("info proc mappings", to_string=True)
        except gdb.error:
            return  # no process and no core
        for line in text.splitlines():
            m = MAPPING.match(line)
            if not m or int(m[3], 16) != 0:
                continue
            start, end, name = int(m[1], 16), int(m[2], 16), m[4]
            name = name.removesuffix(" (deleted)")
            if PATCH.search(name):
                self.add(start, self.readable(name, start, end), start)
            elif LEDGER.search(name):
                self.add(start, self.own_object(start), 0)

    def add(self, key, path, bias):
        if path and (gdb.selected_inferior().pid, key) not in self.known:
            gdb.execute(f"add-symbol-file {path} -o {bias:#x}", to_string=True)
            self.known.add((gdb.selected_inferior().pid, key))

    @staticmethod
    def readable(name, start, end):
        """The file as the process has it, whatever lies under its name here."""
        mapped = f"/proc/{gdb.selected_inferior().pid}/map_files/{start:x}-{end:x}"
        for path in (mapped, name):
            if os.access(path, os.R_OK):
                return path
        gdb.write(f"hp: {name} cannot be read: no symbols of that patch\n", gdb.STDERR)
        return None

    def own_object(self, start):
        """The ELF object behind the ledger that begins at @start, as a file."""
        memory = gdb.selected_inferior()
        for at in range(start, start + AREA_MAX, PAGE):
            try:
                head = bytes(memory.read_memory(at, 64))
            except gdb.MemoryError:
                return None
            if head[:4] != b"\x7fELF":
                continue
            shoff, = struct.unpack_from("<Q", head, 40)
            shnum, = struct.unpack_from("<H", head, 60)
            if not self.folder:
                self.folder = tempfile.mkdtemp(prefix="hp-gdb-")
                atexit.register(shutil.rmtree, self.folder, True)
            path = os.path.join(self.folder, f"hp-{at:x}")
            with open(path, "wb") as f:
                f.write(memory.read_memory(at, shoff + 64 * shnum))
            return path
        return None


Patches().invoke("", False)
