//! A headless Chromium whose page is looked at and touched as a person would: by the DevTools
//! protocol over a pipe, JSON messages with a zero byte behind each.

use crate::{Error, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

/// What Chromium's packages call it, the smallest first.
const PROGRAMS: [&str; 5] =
    ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome"];

/// How long a page may take to come to a state that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser with one page.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    next: u64,
    session: Option<String>,
}

/// The browser that is installed here, if one is.
pub fn program() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|program| {
        let version = Command::new(program).arg("--version").stderr(Stdio::null()).output();
        version.is_ok_and(|output| output.status.success())
    })
}

impl Browser {
    /// Opens a file in a window of this size.
    pub fn open(file: &Path, (width, height): (u32, u32)) -> Result<Self> {
        let program = program().ok_or_else(|| Error::Missing {
            program: "Chromium".into(),
            remedy: "apt-get install chromium-headless-shell",
        })?;
        // Descriptor 3 takes commands, 4 gives answers. The sandbox can't be had by root, and what
        // is opened is our own.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh", program])
            .args(["--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"])
            .args(["--no-first-run", "--hide-scrollbars", "--force-device-scale-factor=1"])
            .arg(format!("--window-size={width},{height}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed("starting it", error))?;
        let (to, from) = child
            .stdin
            .take()
            .zip(child.stdout.take())
            .ok_or_else(|| failed("starting it", "no pipes"))?;
        let mut this = Self { child, to, from: BufReader::new(from), next: 1, session: None };
        let target = this.call("Target.createTarget", json!({ "url": "about:blank" }))?;
        let target = target["targetId"].clone();
        let attached =
            this.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }))?;
        this.session = attached["sessionId"].as_str().map(String::from);
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        this.call("Emulation.setDeviceMetricsOverride", size)?;
        this.call("Page.navigate", json!({ "url": format!("file://{}", file.display()) }))?;
        this.wait("document.readyState === 'complete' && !!window.mz")?;
        Ok(this)
    }

    /// Executes a command of the protocol.
    fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        let id = self.next;
        self.next += 1;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        let sent = self.to.write_all(&bytes).and_then(|()| self.to.flush());
        sent.map_err(|error| failed(method, error))?;
        loop {
            let mut bytes = Vec::new();
            let read =
                self.from.read_until(0, &mut bytes).map_err(|error| failed(method, error))?;
            if read == 0 {
                return Err(failed(method, "the browser has ended"));
            }
            bytes.pop();
            let answer: Value =
                serde_json::from_slice(&bytes).map_err(|error| failed(method, error))?;
            match answer.get("error") {
                _ if answer["id"] != id => {}
                Some(error) => return Err(failed(method, &error["message"])),
                None => return Ok(answer["result"].clone()),
            }
        }
    }

    /// The value of a JavaScript expression in the page.
    pub fn value(&mut self, expression: &str) -> Result<Value> {
        let params =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", params)?;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(failed(expression, &thrown["exception"]["description"])),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// The text that a person reads in an element.
    pub fn text(&mut self, selector: &str) -> Result<String> {
        let value = self.value(&format!("document.querySelector({selector:?}).innerText"))?;
        Ok(value.as_str().unwrap_or_default().into())
    }

    /// Waits until an expression is true.
    pub fn wait(&mut self, expression: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.value(expression)? != true {
            if Instant::now() > until {
                return Err(failed(expression, "not true in time"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Moves the mouse there and clicks.
    pub fn click(&mut self, x: f64, y: f64) -> Result<()> {
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let params = json!({ "type": kind, "x": x, "y": y, "button": button, "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", params)?;
        }
        Ok(())
    }

    /// Turns the wheel there: away from the person is less than 0.
    pub fn wheel(&mut self, x: f64, y: f64, by: f64) -> Result<()> {
        let params = json!({ "type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": by });
        self.call("Input.dispatchMouseEvent", params).map(drop)
    }

    /// Presses a key that writes a letter, or one that has a name.
    pub fn key(&mut self, key: &str) -> Result<()> {
        let mut params = json!({ "type": "keyDown", "key": key });
        if key.chars().count() == 1 {
            params["text"] = key.into();
        }
        self.call("Input.dispatchKeyEvent", params)?;
        self.call("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": key })).map(drop)
    }

    /// Writes a picture of the page, PNG.
    pub fn screenshot(&mut self, file: &Path) -> Result<()> {
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" }))?;
        let bytes = BASE64_STANDARD.decode(answer["data"].as_str().unwrap_or_default());
        let bytes = bytes.map_err(|error| failed("a picture", error))?;
        std::fs::write(file, bytes).map_err(Error::file(file))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn failed(what: &str, how: impl std::fmt::Display) -> Error {
    Error::Failed { what: format!("Chromium, {what}"), how: how.to_string() }
}
