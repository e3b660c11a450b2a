"""Rust's values in gdb: statics, and what the standard library wraps around a value.

Layouts come from DWARF alone: fields are found by name, enums by gdb's own knowledge of Rust. Every
value is read by its *physical* address, so the functions here work inside `Machine.reading` only,
and follow no pointer by gdb's own hand.
"""

import re

import gdb

from .machine import fail

# Whose one field is the value itself, if the first of these names in it is taken.
WRAPPERS = re.compile(
    r"^(core::(cell|sync::atomic|mem)::|lock_api::mutex::Mutex<|spin::once::Once<)")
INSIDE = ("data", "value", "v")


def static(machine, name):
    """The static `name`, a path."""
    symbol = gdb.lookup_static_symbol(name) or gdb.lookup_global_symbol(name)
    if symbol is None:
        return fail("no static %s: wanted the ELF of Mezzanine, with its symbols" % name)
    # Not symbol.value().address: gdb would look into an enum at once, by its virtual address.
    said = gdb.execute("info address " + name, to_string=True)
    address = re.search(r"0x[0-9a-f]+", said)
    if address is None:
        return fail("%s has no address: %s" % (name, said.strip()))
    return at(machine, symbol.type, int(address[0], 16))


def at(machine, kind, va):
    """The value of type `kind` at EL2's address `va`. Objects don't leave what is contiguous: the
    image and the heap are each mapped in one piece."""
    return gdb.Value(machine.physical(va)).cast(kind.pointer()).dereference()


def names(value):
    """The names of a value's fields; of an enum's discriminant it is None."""
    kind = value.type.strip_typedefs()
    if kind.code not in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        return []
    return [field.name for field in kind.fields()]


def field(value, *path):
    """`value.a.b`, with wrappers taken off before each step and at the end."""
    value = peel(value)
    for name in path:
        if name not in names(value):
            fail("no field `%s` in %s: wanted gdb.py and the ELF of the same source"
                 % (name, value.type))
        value = peel(value[name])
    return value


def peel(value):
    """Takes off cells, atomics, locks, `Once`, `MaybeUninit` and newtypes."""
    while True:
        inside = names(value)
        if WRAPPERS.match(str(value.type.strip_typedefs().name)):
            value = value[next(name for name in INSIDE if name in inside)] \
                if any(name in inside for name in INSIDE) else value["__0"]
        elif inside == ["__0"]:
            value = value["__0"]
        else:
            return value


def number(value, *path):
    """The same as an unsigned number."""
    found = field(value, *path)
    return int(found) & (1 << 64) - 1


def pointer(value):
    """The address in the first pointer in `value`: `&T`, `Box<T>`, `NonNull<T>`, `Unique<T>`, and
    what holds one of them."""
    value = peel(value)
    while value.type.strip_typedefs().code != gdb.TYPE_CODE_PTR:
        fields = value.type.strip_typedefs().fields()
        if not fields:
            fail("no pointer in %s: wanted gdb.py and the ELF of the same source" % value.type)
        value = peel(value[fields[0]])
    return value


def follow(machine, value):
    """What a reference leads to."""
    found = pointer(value)
    return at(machine, found.type.strip_typedefs().target(), int(found))


def once(value):
    """The value in a `Once`, or None before it is there."""
    # spin's Status::COMPLETE; the other states have no value.
    return peel(value) if int(peel(value["status"])) == 2 else None


def vec(machine, value):
    """The elements of a `Vec`, as (address, value)."""
    value = peel(value)
    kind = value.type.strip_typedefs().template_argument(0)
    start = int(pointer(value["buf"]))
    addresses = [start + index * kind.sizeof for index in range(number(value, "len"))]
    return [(address, at(machine, kind, address)) for address in addresses]


def string(machine, value):
    """A `String`."""
    value = field(value, "vec")
    length = number(value, "len")
    if not 0 < length < 256:
        return ""
    start = machine.physical(int(pointer(value["buf"])))
    return machine.read(start, length).decode("utf-8", "replace")


def enum(value):
    """An enum as Rust writes it, without paths: `Paused(17)`, `Running(1)`."""
    # Where a guest runs code without symbols, gdb has no reason to speak Rust.
    before = gdb.parameter("language")
    gdb.execute("set language rust", to_string=True)
    try:
        text = peel(value).format_string(max_elements=8)
    finally:
        gdb.execute("set language " + before, to_string=True)
    return re.sub(r"\s+", "", re.sub(r"\b(\w+::)+", "", text))


def variant(value):
    """The name of an enum's variant."""
    return enum(value).split("(")[0].split("{")[0]
