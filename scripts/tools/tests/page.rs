//! The page of `make trace` in a real browser, with a real mouse and keyboard. What it shows is
//! compared with what went into the trace.
//!
//! Ignored by a plain `cargo test`: `make test` runs it where a browser is.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use mezzanine::trace::format::Kind;
use mezzanine_tools::{
    browser::Browser,
    root,
    trace::{
        file::Trace,
        html,
        model::{Exit, Model},
        sample::Sample,
        stats, words,
    },
};
use std::{fs, path::PathBuf, time::Instant};

const SIZE: (u32, u32) = (1500, 1050);

/// A trace with so many exits, and its page in a file of this name.
fn page(name: &str, exits: usize) -> (Trace, Model, PathBuf) {
    let trace = Trace::parse(&Sample::busy(exits).bytes()).unwrap();
    let model = Model::new(&trace);
    let directory = root().join("target");
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join(name);
    fs::write(&file, html::page(&trace, &model)).unwrap();
    (trace, model, file)
}

/// Brings an exit into the middle, wide enough to be hit.
fn close_to(browser: &mut Browser, trace: &Trace, model: &Model, number: usize) {
    let Exit { span, .. } = model.exits[number];
    let ns = |time: u64| trace.nanoseconds(time - model.span.start) as f64;
    let (from, to) = (ns(span.start) - 5000.0, ns(span.end) + 5000.0);
    browser.value(&format!("mz.show({from}, {to}); mz.draw()")).unwrap();
}

/// The page of what a sample makes, in a browser.
fn opened(name: &str, sample: &Sample) -> Browser {
    let trace = Trace::parse(&sample.bytes()).unwrap();
    let file = root().join("target").join(name);
    fs::write(&file, html::page(&trace, &Model::new(&trace))).unwrap();
    Browser::open(&file, SIZE).unwrap()
}

fn number(browser: &mut Browser, expression: &str) -> f64 {
    browser.value(expression).unwrap().as_f64().unwrap()
}

/// Where an exit is on the screen.
fn place(browser: &mut Browser, exit: usize) -> (f64, f64) {
    assert_eq!(browser.value(&format!("mz.locate({exit}).visible")).unwrap(), true);
    let mut coordinate = |axis| number(browser, &format!("mz.locate({exit}).{axis}"));
    (coordinate("x"), coordinate("y"))
}

#[test]
#[ignore = "wants Chromium: make test runs it where it is"]
fn an_exit_that_is_clicked_is_read_in_words() {
    let (trace, model, file) = page("trace-click.html", 400);
    let mut browser = Browser::open(&file, SIZE).unwrap();
    let device = model.exits.iter().position(|exit| exit.kind == Kind::Device).unwrap();
    close_to(&mut browser, &trace, &model, device);
    let (x, y) = place(&mut browser, device);
    browser.click(x, y).unwrap();
    let panel = browser.text("#panel").unwrap();
    let sentence = words::sentence(&model.exits[device]);
    for text in [
        "write UARTFR",
        &sentence,
        "linux.0 on pCPU 0, from EL0",
        "0x9000018 (FAR_EL2)",
        "ESR_EL2 = 0x93810047",
        "data abort from a lower EL",
        "translation fault level 3",
        "the guest goes on at 0x40080004",
        "news for linux.1",
        "kick to pCPU 1",
    ] {
        assert!(panel.contains(text), "no `{text}` in:\n{panel}");
    }
    // How long EL2 took.
    let worked = trace.nanoseconds(model.exits[device].worked()) as f64 / 1000.0;
    assert!(panel.contains(&format!("{worked:.2} µs, handled after")), "{worked} in:\n{panel}");
    // The next one by keyboard, and back.
    let next = words::title(&model.exits[device + 1], &model.marks_by_exit()[device + 1]);
    browser.key("n").unwrap();
    assert_eq!(browser.text("#name").unwrap(), next);
    browser.key("p").unwrap();
    assert_eq!(browser.text("#name").unwrap(), "write UARTFR");
    browser.key("Escape").unwrap();
    assert_eq!(browser.text("#name").unwrap(), "No exit is chosen");
}

#[test]
#[ignore = "wants Chromium: make test runs it where it is"]
fn wheel_and_keys_zoom_and_move() {
    let (_, _, file) = page("trace-zoom.html", 400);
    let mut browser = Browser::open(&file, SIZE).unwrap();
    let length = "mz.view.to - mz.view.from";
    let all = number(&mut browser, length);
    let (x, y) = (number(&mut browser, "mz.frame.width") / 2.0 + 128.0, 250.0);
    browser.click(x, y).unwrap();
    browser.wheel(x, y, -400.0).unwrap();
    browser.wait(&format!("{length} < {all} / 2")).unwrap();
    let near = number(&mut browser, length);
    browser.key("-").unwrap();
    assert!(number(&mut browser, length) > near);
    browser.key("+").unwrap();
    let from = number(&mut browser, "mz.view.from");
    browser.key("ArrowRight").unwrap();
    assert!(number(&mut browser, "mz.view.from") > from);
    browser.key("0").unwrap();
    let shown = number(&mut browser, length);
    assert!((shown - all).abs() < all / 1000.0, "{shown} instead of {all}");
}

/// What the page's table says: VM, kind, count, and the four times in microseconds.
fn table(browser: &mut Browser) -> Vec<(String, String, u64, [f64; 4])> {
    let rows = browser.value(
        "[...document.querySelectorAll('#table tbody tr')].map((row) => \
         [...row.cells].map((cell) => cell.innerText.replaceAll(',', '').trim()))",
    );
    let rows = rows.unwrap();
    let row = |row: &serde_json::Value| {
        let text = |index: usize| row[index].as_str().unwrap().to_owned();
        let time = |index: usize| text(index).parse().unwrap();
        let count = text(2).parse().unwrap();
        (text(0), text(1), count, [time(3), time(5), time(6), time(7)])
    };
    rows.as_array().unwrap().iter().map(row).collect()
}

#[test]
#[ignore = "wants Chromium: make test runs it where it is"]
fn the_table_is_that_of_the_model_and_the_filter_narrows_it() {
    let (trace, model, file) = page("trace-table.html", 4000);
    let mut browser = Browser::open(&file, SIZE).unwrap();
    browser.wait("document.querySelectorAll('#table tbody tr').length > 0").unwrap();
    let rows = stats::rows(&trace, &model, model.span);
    let found = table(&mut browser);
    assert_eq!(found.len(), rows.len());
    for ((vm, kind, count, times), row) in found.iter().zip(&rows) {
        assert_eq!((vm, kind.as_str(), *count), (&row.vm, words::kind(row.kind), row.count));
        for (shown, ns) in times.iter().zip([row.total, row.mean, row.p99, row.max]) {
            // To the digit that is shown.
            assert!((shown - ns as f64 / 1000.0).abs() < 0.06, "{vm} {kind}: {shown} for {ns} ns");
        }
    }
    // One VM, then one kind of it, then a text.
    browser.value("vm.value = 1; vm.dispatchEvent(new Event('change'))").unwrap();
    browser.wait("document.querySelectorAll('#table tbody tr').length === 4").unwrap();
    assert!(table(&mut browser).iter().all(|(vm, ..)| vm == "rtos"));
    browser.value("vm.value = ''; vm.dispatchEvent(new Event('change'))").unwrap();
    browser.value("document.getElementById('text').focus()").unwrap();
    for letter in "PSCI".chars() {
        browser.key(&letter.to_string()).unwrap();
    }
    assert_eq!(browser.text("#found").unwrap(), "1,500 of 4,000 exits");
    browser.wait("document.querySelectorAll('#table tbody tr').length === 3").unwrap();
    assert!(table(&mut browser).iter().all(|(_, kind, ..)| kind == "calls"));
}

/// A trace may be empty, have lost its beginning, or be of VMs with strange names.
#[test]
#[ignore = "wants Chromium: make test runs it where it is"]
fn strange_traces_are_pages_too() {
    let name = "</script><b>&amp;";
    let mut browser = opened("trace-empty.html", &Sample::new(2, &[name], 64));
    assert_eq!(browser.text("#facts").unwrap(), "2 pCPUs, 0.00 µs, 0 events, 0 exits");
    let title = browser.text("h1").unwrap();
    assert_eq!(title, format!("Mezzanine timeline: {name}"));
    assert_eq!(browser.value("document.querySelectorAll('b').length").unwrap(), 0);
    let mut lost = Sample::new(1, &["a"], 8);
    for number in 0..10 {
        lost.exit(0, 100 * (number + 1), 50, (0, 0), (Kind::Call, false));
    }
    let mut browser = opened("trace-lost.html", &lost);
    let told = browser.text("#lost").unwrap();
    assert!(told.starts_with("The rings were full: the oldest 33 records are lost"), "{told}");
}

/// However many exits there are, a picture is drawn with about as many rectangles as it has pixels
/// across: a few for each lane.
#[test]
#[ignore = "wants Chromium: make test runs it where it is"]
fn a_hundred_thousand_exits_are_drawn_with_the_work_of_the_pixels() {
    let (trace, model, file) = page("trace-large.html", 100_000);
    assert!(trace.events.len() > 400_000 && model.exits.len() == 100_000);
    let size = fs::metadata(&file).unwrap().len();
    let begun = Instant::now();
    let mut browser = Browser::open(&file, SIZE).unwrap();
    let opened = begun.elapsed();
    assert_eq!(number(&mut browser, "mz.exits"), 100_000.0);
    let mut most = (0.0_f64, 0.0_f64);
    for step in 0..12 {
        browser
            .value(&format!("mz.show({step}e6, {step}e6 + 2e9 / 4 ** {step}); mz.draw()"))
            .unwrap();
        most.0 = most.0.max(number(&mut browser, "mz.frame.rects"));
        most.1 = most.1.max(number(&mut browser, "mz.frame.ms"));
    }
    println!(
        "{size} bytes, opened in {opened:?}, at most {} rectangles and {} ms a frame",
        most.0, most.1
    );
    // Two pCPUs with five rows, six vCPUs with one, and the overview with two.
    let width = number(&mut browser, "mz.frame.width");
    assert!(most.0 < width * (2.0 * 5.0 + 6.0 + 2.0), "{} rectangles on {width} pixels", most.0);
}

#[test]
#[ignore = "wants Chromium: make test runs it where it is"]
fn a_picture_is_taken() {
    let (trace, model, file) = page("trace-picture.html", 4000);
    let mut browser = Browser::open(&file, SIZE).unwrap();
    let device = model.exits.iter().skip(500).position(|exit| exit.kind == Kind::Device).unwrap();
    close_to(&mut browser, &trace, &model, device + 500);
    for _ in 0..5 {
        browser.key("-").unwrap();
    }
    browser.value(&format!("mz.choose({}); mz.draw()", device + 500)).unwrap();
    let picture = root().join("target/trace.png");
    browser.wait("document.querySelectorAll('#table tbody tr').length > 0").unwrap();
    browser.screenshot(&picture).unwrap();
    let bytes = fs::read(&picture).unwrap();
    assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 20_000, "{} bytes", bytes.len());
}
