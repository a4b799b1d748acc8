//! The command as the guest's shell runs it: the caller's words, directory and environment.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A script that becomes the command, run in `cwd` with these variables set.
pub fn script(words: &[OsString], cwd: &Path, env: &[(OsString, OsString)]) -> Vec<u8> {
    let mut script = Vec::new();
    for (name, value) in env {
        script.extend(b"export ");
        script.extend(name.as_bytes());
        script.push(b'=');
        quote(value, &mut script);
        script.push(b'\n');
    }
    script.extend(b"cd ");
    quote(cwd.as_os_str(), &mut script);
    script.extend(b" || exit 125\nexec");
    for word in words {
        script.push(b' ');
        quote(word, &mut script);
    }
    script.push(b'\n');
    script
}

/// The caller's variables that the command may need: where programs and Rust are, and what
/// steers Rust, chaosd and colours.
pub fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os()
        .filter(|(name, _)| name.to_str().is_some_and(is_passed_on))
        .collect()
}

fn is_passed_on(name: &str) -> bool {
    matches!(name, "PATH" | "HOME" | "TERM" | "NO_COLOR" | "LANG")
        || ["CARGO", "RUST", "CHAOSD"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
            // A shell has no variable whose name it cannot spell.
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// One word to any POSIX shell, whatever is in it.
fn quote(word: &OsStr, script: &mut Vec<u8>) {
    script.push(b'\'');
    for &byte in word.as_bytes() {
        if byte == b'\'' {
            script.extend(br"'\''");
        } else {
            script.push(byte);
        }
    }
    script.push(b'\'');
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{is_passed_on, script};

    #[test]
    fn the_shell_hands_every_word_on_as_it_was() {
        let words = [
            "printf",
            "%s|",
            "a b",
            "it's",
            "$HOME `x` \\ \"",
            "",
            "two\nlines",
            "*",
        ];
        let env = [("CHAOSD_X".into(), "1 '2'".into())];
        let script = script(&words.map(Into::into), Path::new("/"), &env);
        let output = std::process::Command::new("sh")
            .arg("-c")
            .arg(String::from_utf8_lossy(&script).as_ref())
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .ok();
        let expected = words[2..].join("|") + "|";
        assert_eq!(output, Some(expected));
    }

    #[test]
    fn what_steers_rust_and_chaosd_is_passed_on_and_nothing_else() {
        for name in ["PATH", "CARGO_HOME", "RUST_BACKTRACE", "CHAOSD_BIN"] {
            assert!(is_passed_on(name), "{name}");
        }
        for name in ["SSH_AUTH_SOCK", "CARGO_BIN_EXE_a-b", "LD_PRELOAD"] {
            assert!(!is_passed_on(name), "{name}");
        }
    }
}
