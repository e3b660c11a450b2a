//! The design's boundaries, asserted by reading the sources.
//!
//! What is pure stays pure, so that it can be tested on the host; arrows between rooms go down
//! only; the assembly stays in one room; files stay short enough to read.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Lines that a file may have, of any kind.
const FILE_LINES: usize = 500;

/// Lines of code that the hypervisor may have: without comments, blank lines and `tests.rs`. The
/// aim is 10,000 or so: what makes it grow says why in its commit.
const CODE_LINES: usize = 15_090;

/// Rooms and files with no trace of a real CPU: they compile and are tested on the host.
const PURE: [&str; 29] = [
    "src/console",
    "src/debug/registers",
    "src/debug/session",
    "src/debug/slots",
    "src/debug/target",
    "src/device",
    "src/exit/decode",
    "src/exit/esr",
    "src/exit/inject",
    "src/exit/pstate",
    "src/memory/addr",
    "src/memory/frames",
    "src/memory/stage2",
    "src/memory/walk",
    "src/monitor/answer",
    "src/monitor/command",
    "src/monitor/prompt",
    "src/monitor/words",
    "src/platform/cmdline",
    "src/platform/cpu",
    "src/platform/fdt",
    "src/platform/machine",
    "src/sched",
    "src/trace/format",
    "src/trace/times",
    "src/vm/description",
    "src/vm/exits",
    "src/vm/image",
    "src/vm/tree",
];

/// Which rooms a room may name. `main.rs` may name all of them; the launcher is not a room.
const ARROWS: [(&str, &[&str]); 11] = [
    (
        "monitor",
        &["console", "device", "el2", "exit", "memory", "platform", "sched", "trace", "vm"],
    ),
    (
        "exit",
        &[
            "console", "debug", "device", "el2", "memory", "monitor", "platform", "sched", "trace",
            "vm",
        ],
    ),
    ("debug", &["el2", "memory", "platform", "sched", "vm"]),
    ("vm", &["console", "device", "el2", "memory", "platform", "sched", "trace"]),
    ("sched", &["memory"]),
    ("device", &["memory"]),
    ("console", &[]),
    ("platform", &["console", "el2", "memory"]),
    ("trace", &["el2", "memory", "platform"]),
    ("memory", &["el2"]),
    ("el2", &["memory", "platform"]),
];

/// Plain types of the upper rooms that the lower ones may name all the same: what a syndrome and
/// PSTATE say, the registers of a vCPU as the world switch lays them down, and those of its virtual interface.
const SHARED: [&str; 4] = [
    "crate::exit::esr::",
    "crate::exit::pstate",
    "crate::vm::Frame",
    "crate::device::vgic::CpuInterface",
];

/// Ways to stop the hypervisor that no guest and no operator may reach.
const PANICS: [&str; 6] =
    ["panic!(", "todo!(", "unimplemented!(", "unreachable!(", ".unwrap()", ".expect("];

/// A source file: where it is from the root on, and its text with and without comments.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.contains("/tests/")
    }

    /// The room: the first part below `src`, without `.rs`.
    fn room(&self) -> &str {
        let rest = self.path.strip_prefix("src/").unwrap_or_default();
        let first = rest.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    fn is_below(&self, place: &str) -> bool {
        self.path.strip_prefix(place).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
    }

    /// Where a word stands in the code, as `path:line`.
    fn find<'a>(&'a self, word: &'a str) -> impl Iterator<Item = String> + 'a {
        let lines = self.code.lines().zip(1..);
        lines
            .filter(move |(line, _)| line.contains(word))
            .map(move |(line, number)| format!("{}:{number}: {}", self.path, line.trim()))
    }
}

/// All sources below a directory.
fn sources(directory: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join(directory), &mut files);
    assert!(!files.is_empty(), "no sources below {directory}");
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let path = file.strip_prefix(root).unwrap_or(&file);
        Source { path: path.to_string_lossy().into_owned(), code: code_of(&text), text }
    };
    files.into_iter().map(read).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

/// The text with comments and strings taken out; lines stay where they are.
fn code_of(text: &str) -> String {
    strip(text, false)
}

/// Lines with something else than comments in them; assembly in a string is code, too.
fn code_lines(text: &str) -> usize {
    let code = strip(text, true);
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

fn strip(text: &str, keep_strings: bool) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw_string(rest) {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = hashes + 2;
            let end = rest[open..].find(&close);
            end.map_or(rest.len(), |end| open + end + close.len())
        } else if c == '"' {
            string_end(rest)
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\'") {
            3
        } else {
            0
        };
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            let keep = keep_strings && c != '/';
            code.extend(rest[..skipped].chars().filter(|&c| keep || c == '\n'));
            rest = &rest[skipped..];
        }
    }
    code
}

/// The number of `#` of a raw string that starts here.
fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

fn string_end(rest: &str) -> usize {
    let mut escaped = false;
    for (index, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Rooms that a file names by `crate::room`, alone or in braces.
fn rooms_named(code: &str) -> Vec<&str> {
    let mut rooms = Vec::new();
    for (start, found) in code.match_indices("crate::") {
        let before = code[..start].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[start + found.len()..];
        let mut depth = 0;
        let mut word = 0..0;
        // At depth 1 of the braces stand rooms; deeper, and after a room's `::`, what is in them.
        let mut at_room = true;
        for (index, c) in rest.char_indices() {
            if c.is_alphanumeric() || c == '_' {
                if word.is_empty() {
                    word.start = index;
                }
                word.end = index + c.len_utf8();
                continue;
            }
            if at_room && !word.is_empty() {
                rooms.push(&rest[word.clone()]);
                at_room = false;
            }
            word = 0..0;
            match c {
                '{' => {
                    depth += 1;
                    at_room = depth == 1 && rooms_may_follow(rest, index);
                }
                '}' => depth -= 1,
                ',' => at_room = depth == 1 && rest.starts_with('{'),
                _ => {}
            }
            if depth <= 0 && c != ':' {
                break;
            }
        }
    }
    rooms
}

/// Whether a brace is the one right behind `crate::`.
fn rooms_may_follow(rest: &str, index: usize) -> bool {
    index == 0 && rest.starts_with('{')
}

#[track_caller]
fn none(what: &str, found: impl IntoIterator<Item = String>) {
    let found: Vec<String> = found.into_iter().collect();
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn assembly_is_in_el2_only() {
    let src = sources("src");
    for word in ["asm!", "naked"] {
        let outside = src.iter().filter(|source| !source.is_below("src/el2"));
        none("assembly outside src/el2", outside.flat_map(|source| source.find(word)));
    }
}

#[test]
fn pure_rooms_know_no_cpu() {
    let src = sources("src");
    for place in PURE {
        for word in ["target_arch", "aarch64_cpu", "core::arch", "crate::el2"] {
            let inside = src.iter().filter(|source| source.is_below(place));
            none("a pure room that knows the CPU", inside.flat_map(|source| source.find(word)));
        }
    }
}

#[test]
fn arrows_between_rooms_go_down() {
    let src = sources("src");
    let mut upwards = Vec::new();
    for source in src.iter().filter(|source| !source.is_test()) {
        let Some((_, allowed)) = ARROWS.iter().find(|(room, _)| *room == source.room()) else {
            continue;
        };
        let code =
            SHARED.iter().fold(source.code.clone(), |code, shared| code.replace(shared, "shared_"));
        for named in rooms_named(&code) {
            let is_room = ARROWS.iter().any(|(room, _)| *room == named);
            if is_room && named != source.room() && !allowed.contains(&named) {
                upwards.push(format!("{} names crate::{named}", source.path));
            }
        }
    }
    none("an arrow that goes up", upwards);
}

#[test]
fn the_device_tree_crate_is_behind_one_module() {
    let src = sources("src");
    let outside = src.iter().filter(|one| !one.is_below("src/platform/fdt"));
    none("fdt-rs outside platform::fdt", outside.flat_map(|source| source.find("fdt_rs")));
}

#[test]
fn nothing_a_guest_reaches_panics_by_name() {
    let src = sources("src");
    let rooms = ["exit", "device", "sched", "vm", "memory", "console", "monitor"];
    let reachable = src.iter().filter(|source| !source.is_test() && rooms.contains(&source.room()));
    let found = reachable.flat_map(|source| PANICS.iter().flat_map(|word| source.find(word)));
    none("a panic in a room that guests reach", found);
}

#[test]
fn files_are_short() {
    let all = ["src", "guest", "tests", "models", "scripts", "fuzz"];
    let long = all.iter().flat_map(|directory| sources(directory));
    none(
        &format!("files of more than {FILE_LINES} lines"),
        long.filter(|source| source.text.lines().count() > FILE_LINES)
            .map(|source| format!("{}: {}", source.path, source.text.lines().count())),
    );
}

#[test]
fn the_hypervisor_is_small() {
    let src = sources("src");
    let code = src.iter().filter(|source| !source.is_test());
    let lines: usize = code.map(|source| code_lines(&source.text)).sum();
    println!("{lines} lines of code");
    assert!(lines <= CODE_LINES, "{lines} lines of code in src");
}

#[test]
fn comments_and_strings_are_not_code() {
    let text = "a /* asm! */ b // asm!\n\"asm! \\\" asm!\" c r#\"asm!\"\n\"# '\"' d";
    let code = code_of(text);
    assert!(!code.contains("asm!"), "{code}");
    assert_eq!(code.lines().count(), text.lines().count());
    assert_eq!(code_lines("// no\n/* no\n no */\n\n\"yes\n\n yes\" yes"), 2);
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
}

#[test]
fn rooms_are_found_in_every_form_of_use() {
    assert_eq!(rooms_named("use crate::vm::Vm;"), ["vm"]);
    assert_eq!(
        rooms_named("use crate::{exit::{Exit, esr}, vm, sched::Queue};"),
        ["exit", "vm", "sched"]
    );
    assert_eq!(rooms_named("let x = crate::el2::now(); crate::vm::y()"), ["el2", "vm"]);
    assert!(rooms_named("$crate::el2::x()").is_empty());
}
