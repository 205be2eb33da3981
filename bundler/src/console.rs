//! What people and programs see: results on standard output, progress and messages on standard error.

use indicatif::{ProgressBar, ProgressStyle};
use modferry::byte_size::ByteSize;
use modferry::context::{Event, Progress};
use modferry::error::{Error, Warning};
use serde::Serialize;
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often a line of progress is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Where and how to write.
pub(crate) struct Console {
    json: bool,
    quiet: bool,
    color: bool,
    results: Results,
    bar: Option<ProgressBar>,
    state: Mutex<State>,
}

/// Where results go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Results {
    /// To standard output.
    Stdout,
    /// To standard error, as the last of it: standard output carries a bundle.
    Stderr,
}

struct State {
    step: String,
    last_line: Instant,
}

impl Console {
    /// `color` is the user's choice; `None` leaves it to the terminal.
    pub(crate) fn new(json: bool, quiet: bool, color: Option<bool>, no_color: bool, results: Results) -> Self {
        let terminal = io::stderr().is_terminal();
        let bar = (terminal && !json && !quiet).then(|| {
            let style = ProgressStyle::with_template("{spinner} {prefix} {bar:24} {pos}/{len} {msg}");
            ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        let state = Mutex::new(State { step: String::new(), last_line: Instant::now() });
        Self { json, quiet, color: color.unwrap_or(terminal && !no_color), results, bar, state }
    }

    /// Writes the result. A reader that has gone away is no error.
    pub(crate) fn result(&self, json: &impl Serialize, text: &str) -> io::Result<()> {
        self.clear();
        let mut out: Box<dyn Write> = match self.results {
            Results::Stdout => Box::new(io::stdout().lock()),
            Results::Stderr => Box::new(io::stderr().lock()),
        };
        let written = if self.json {
            serde_json::to_writer(&mut out, json).map_err(io::Error::from).and_then(|()| out.write_all(b"\n"))
        } else {
            out.write_all(text.as_bytes())
        };
        match written.and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Writes what a check came to, beside its result.
    pub(crate) fn verdict(&self, text: &str) {
        if !self.json {
            self.write(&format!("{text}\n"));
        }
    }

    /// Writes an error that is all there is to say.
    pub(crate) fn error(&self, error: &Error) {
        if self.json {
            // The result of a command that failed is its error.
            let _ = self.result(&json!({ "ok": false, "error": error }), "");
        }
        self.told(error);
    }

    /// Writes an error that stands in the JSON result already.
    pub(crate) fn told(&self, error: &Error) {
        self.clear();
        if self.json {
            return;
        }
        let mut text = format!("{} {}\n", self.paint("error:", "31;1"), error.message);
        for cause in &error.causes {
            text.push_str(&format!("  caused by: {cause}\n"));
        }
        if let Some(kept) = &error.kept {
            text.push_str(&format!("kept: {kept}\n"));
        }
        if let Some(hint) = &error.hint {
            text.push_str(&format!("{} {hint}\n", self.paint("hint:", "36")));
        }
        self.write(&text);
    }

    fn warning(&self, warning: &Warning) {
        let mut text = format!("{} {}\n", self.paint("warning:", "33"), warning.message);
        if let Some(hint) = &warning.hint {
            text.push_str(&format!("{} {hint}\n", self.paint("hint:", "36")));
        }
        self.write(&text);
    }

    fn paint(&self, word: &str, code: &str) -> String {
        if self.color { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn write(&self, text: &str) {
        let write = || {
            // Nothing can be done when standard error is gone.
            let _ = io::stderr().lock().write_all(text.as_bytes());
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn progress(&self, done: u64, total: u64, bytes: u64, current: &str) {
        if let Some(bar) = &self.bar {
            if total > 0 {
                bar.set_length(total);
            }
            bar.set_position(done);
            bar.set_message(format!("{} {current}", ByteSize(bytes)));
            return;
        }
        let Ok(mut state) = self.state.lock() else { return };
        if self.quiet || state.last_line.elapsed() < LINE_EVERY {
            return;
        }
        state.last_line = Instant::now();
        if self.json {
            self.event(&json!({ "event": "progress", "step": state.step, "done": done, "total": total, "bytes": bytes, "current": current }));
        } else {
            let of = if total > 0 { format!(" of {total}") } else { String::new() };
            self.write(&format!("{}: {done}{of}, {}, {current}\n", state.step, ByteSize(bytes)));
        }
    }

    fn event(&self, event: &serde_json::Value) {
        self.write(&format!("{event}\n"));
    }
}

impl Progress for Console {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Step(step) => {
                if let Ok(mut state) = self.state.lock() {
                    step.clone_into(&mut state.step);
                }
                match &self.bar {
                    Some(bar) => {
                        bar.reset();
                        bar.set_message("");
                        bar.set_prefix(step.to_owned());
                    }
                    None if self.quiet => {}
                    None if self.json => self.event(&json!({ "event": "step", "step": step })),
                    None => self.write(&format!("{step}\n")),
                }
            }
            Event::Progress { done, total, bytes, current } => self.progress(done, total, bytes, current),
            Event::Note(_) if self.quiet => {}
            Event::Note(note) if self.json => self.event(&json!({ "event": "note", "message": note })),
            Event::Note(note) => self.write(&format!("{note}\n")),
            Event::Warning(warning) if self.json => self.event(&json!({ "event": "warning", "warning": warning })),
            Event::Warning(warning) => self.warning(warning),
        }
    }
}
