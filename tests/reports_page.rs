//! A page as content: its texts, and what stays of them when figures are not looked at.

/// What holds figures, what a tool printed, and what depends on them: from, to.
const FIGURES: [(&str, &str); 9] = [
    ("svg ", "/svg"),
    ("dd", "/dd"),
    ("td class=\"number\"", "/td"),
    ("ul class=\"legend\"", "/ul"),
    ("details", "/details"),
    ("p class=\"meta\"", "/p"),
    ("p class=\"why\"", "/p"),
    ("small class=\"failures\"", "/small"),
    ("footer", "/footer"),
];
/// Of times, which become others as a time grows.
const UNITS: [&str; 4] = ["ms", "s", "min", "h"];

/// The texts of a page, in order: what is between tags, without its style.
pub fn texts(page: &str) -> Vec<String> {
    let texts = parts(page).map(|(_, text)| text.split_whitespace().collect::<Vec<_>>().join(" "));
    texts.filter(|text| !text.is_empty()).collect()
}

/// The same without figures: headings, names, verdicts, what was asked. Pictures are told by their labels.
pub fn skeleton(page: &str) -> Vec<String> {
    let mut skeleton = Vec::new();
    let mut skipped = None;
    for (tag, text) in parts(page) {
        if skipped.is_some_and(|end| end != tag) {
            continue;
        }
        skipped = FIGURES
            .iter()
            .find(|(begin, _)| tag.starts_with(begin))
            .map(|(_, end)| *end);
        if skipped.is_none() {
            skeleton.push(masked(text));
        } else if let Some((_, label)) = tag.split_once("role=\"img\" aria-label=\"") {
            skeleton.push(masked(label.trim_end_matches('"')));
        }
    }
    skeleton.retain(|text| !text.is_empty());
    skeleton
}

/// Each tag with the text behind it.
fn parts(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let body = page.split_once("<body>").map_or(page, |(_, body)| body);
    body.split('<').filter_map(|part| part.split_once('>'))
}

/// Numbers and times as `#`. What somebody wrote with its sign (`1%`) stays.
fn masked(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = if word.len() > 1 && word.contains('%') {
            word.to_owned()
        } else {
            numberless(word)
        };
        let unit = word.trim_end_matches(|c: char| c.is_ascii_punctuation() && c != '#');
        let rest = &word[unit.len()..];
        match words.last_mut() {
            // A time of two parts, or one part's unit.
            Some(last) if last == "#" && (unit == "#" || UNITS.contains(&unit)) => {
                last.push_str(rest);
            }
            _ => words.push(word),
        }
    }
    words.join(" ")
}

/// Each number in it as one sign.
fn numberless(word: &str) -> String {
    let chars: Vec<char> = word.chars().collect();
    let mut text = String::new();
    let is_digit = |n: usize| chars.get(n).is_some_and(char::is_ascii_digit);
    for (n, c) in chars.iter().enumerate() {
        // Of a number: its digits, and a point, comma or colon between two of them.
        let between = n > 0 && is_digit(n - 1) && is_digit(n + 1) && matches!(c, '.' | ',' | ':');
        if !is_digit(n) && !between {
            text.push(*c);
        } else if !text.ends_with('#') {
            text.push('#');
        }
    }
    text
}

#[test]
fn figures_are_left_out_and_words_stay() {
    for (text, expected) in [
        (
            "It was aborted after 51.1 s: sale",
            "It was aborted after #: sale",
        ),
        ("Ran for 2 min 5 s, ended well.", "Ran for #, ended well."),
        (
            "340 ms more, between 1.2 and 1,300 ms.",
            "# more, between # and #.",
        ),
        ("drops 1% of packets", "drops 1% of packets"),
        ("198.18.0.2:8089 (0.98 %)", "# (# %)"),
        ("2 of 3 probes", "# of # probes"),
        ("within 2 s 500 ms: no", "within #: no"),
    ] {
        assert_eq!(masked(text), expected);
    }
    let page = "<style>1</style><body><h2>A</h2><svg role=\"img\" aria-label=\"of 3 s: b\"><text>7</text></svg><dl><dt>B</dt><dd>7 <small>x</small></dd></dl><td class=\"number\">7</td><td>C</td>";
    assert_eq!(skeleton(page), ["A", "of #: b", "B", "C"]);
    assert_eq!(texts(page), ["A", "7", "B", "7", "x", "7", "C"]);
}
