//! Reports as a real browser shows them: in light, in dark and in print, without a word on its console.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use chaosd::experiment::report;
use support::{Instance, run};

use crate::reports::kept;

/// Names that the browser goes by.
const BROWSERS: [&str; 2] = ["chromium", "chromium-browser"];
/// `--page` and `--ink` of the style, in light and in dark.
const LIGHT: [[u8; 3]; 2] = [[0xf6, 0xf7, 0xf8], [0x1b, 0x20, 0x27]];
const DARK: [[u8; 3]; 2] = [[0x12, 0x15, 0x1a], [0xe8, 0xeb, 0xef]];

/// A browser, and a place for what it writes.
struct Browser {
    program: &'static str,
    home: Instance,
}

impl Browser {
    fn find() -> Result<Option<Self>> {
        let answers = |program: &&&str| Command::new(program).arg("--version").output().is_ok();
        let Some(program) = BROWSERS.iter().find(answers) else {
            return Ok(None);
        };
        let home = Instance::new()?;
        Ok(Some(Self { program, home }))
    }

    /// A page in a file.
    fn page(&self, name: &str, text: &str) -> Result<PathBuf> {
        self.home.file(&format!("{name}.html"), text)
    }

    /// Opens a page with these words, and returns what it said on the way.
    fn open(&self, page: &Path, words: &[&str]) -> Result<String> {
        let home = page.parent().context("a page lies in a directory")?;
        // A browser that hangs is ended.
        let output = Command::new("timeout")
            .args(["-k", "5", "300", self.program])
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
            ])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .args([
                "--disable-sync",
                "--disable-extensions",
                "--disable-dev-shm-usage",
            ])
            .args(["--enable-logging=stderr", "--no-pdf-header-footer"])
            .arg(format!(
                "--user-data-dir={}",
                home.join("browser").display()
            ))
            .args(words)
            .arg(format!("file://{}", page.display()))
            .env("HOME", home)
            .output()
            .context("failed to start the browser")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{}: {said}", output.status);
        Ok(said)
    }

    /// A picture of it, and what stands on the console.
    fn picture(&self, page: &Path, dark: bool) -> Result<(Picture, String)> {
        let to = page.with_extension("png");
        let scheme = format!("--blink-settings=preferredColorScheme={}", u8::from(!dark));
        let shot = format!("--screenshot={}", to.display());
        let said = self.open(page, &[&scheme, "--window-size=1000,1600", &shot])?;
        Ok((Picture::read(&to)?, console(&said)))
    }
}

/// What scripts, styles and refused requests say.
fn console(said: &str) -> String {
    let lines = said.lines().filter(|line| line.contains("CONSOLE"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Pixels of three or four bytes.
struct Picture {
    bytes: Vec<u8>,
    each: usize,
}

impl Picture {
    fn read(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).with_context(|| format!("no {}", path.display()))?;
        let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info()?;
        let mut bytes = vec![0; reader.output_buffer_size().context("too large a picture")?];
        let info = reader.next_frame(&mut bytes)?;
        bytes.truncate(info.buffer_size());
        Ok(Self {
            bytes,
            each: info.color_type.samples(),
        })
    }

    /// How many pixels have this colour, and how many there are.
    fn count(&self, colour: [u8; 3]) -> (usize, usize) {
        let pixels = || self.bytes.chunks_exact(self.each);
        let same = pixels().filter(|pixel| pixel.starts_with(&colour)).count();
        (same, pixels().count())
    }
}

/// The picture is of a page in these colours, with text on it.
#[track_caller]
fn shows(picture: &Picture, [page, ink]: [[u8; 3]; 2]) {
    let (behind, all) = picture.count(page);
    assert!(behind > all / 20, "{behind} of {all} pixels are the page's");
    let (text, all) = picture.count(ink);
    assert!(text > 1_000, "{text} of {all} pixels are text");
}

#[test]
fn a_browser_shows_pages_in_light_and_dark_and_has_nothing_to_say() -> Result<()> {
    let Some(browser) = Browser::find()? else {
        support::skip!(Ok(()), "no browser is there");
    };
    for (name, dark) in [
        ("holds", false),
        ("fails", false),
        ("fails", true),
        ("aborts", true),
    ] {
        let page = browser.page(name, &report::html(&kept(name)?))?;
        let (picture, console) = browser.picture(&page, dark)?;
        assert_eq!(console, "", "{name}");
        shows(&picture, if dark { DARK } else { LIGHT });
    }
    Ok(())
}

#[test]
fn a_printed_page_has_all_its_text_and_room_for_surprises() -> Result<()> {
    let Some(browser) = Browser::find()? else {
        support::skip!(Ok(()), "no browser is there");
    };
    if Command::new("pdftotext").arg("-v").output().is_err() {
        support::skip!(Ok(()), "pdftotext is not there");
    }
    for (name, parts) in [
        (
            "holds",
            [
                "held",
                "lossy-database",
                "Surprises",
                "drops 3 % of packets",
            ],
        ),
        (
            "aborts",
            [
                "aborted",
                "came true after",
                "Conditions to abort",
                "--seed 42",
            ],
        ),
    ] {
        let record = kept(name)?;
        let page = browser.page(name, &report::html(&record))?;
        let to = page.with_extension("pdf").display().to_string();
        let said = browser.open(&page, &[&format!("--print-to-pdf={to}")])?;
        assert_eq!(console(&said), "", "{name}");
        let text = run("pdftotext", &["-layout", &to, "-"])?;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let hypothesis = record.hypothesis.context("it has one")?;
        for part in parts.into_iter().chain([hypothesis.as_str()]) {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
        // The hint how to write is for screens.
        assert!(!text.contains("--surprise"), "{text}");
    }
    Ok(())
}

#[test]
fn a_page_that_somebody_made_fetch_or_run_something_would_be_refused() -> Result<()> {
    let Some(browser) = Browser::find()? else {
        support::skip!(Ok(()), "no browser is there");
    };
    let page = report::html(&kept("holds")?);
    let evil = "<main><img src=\"http://127.0.0.1:9/x.png\"><script>console.log('ran')</script>";
    let page = browser.page("evil", &page.replacen("<main>", evil, 1))?;
    let (_, console) = browser.picture(&page, false)?;
    assert!(console.contains("Content Security Policy"), "{console}");
    assert!(!console.contains("\"ran\""), "{console}");
    Ok(())
}
