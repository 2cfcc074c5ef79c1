//! Which top-level module of a crate uses which, read from the tokens of its sources.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};

/// A crate's sources: the path below `src`, and the text.
pub(crate) type Sources = BTreeMap<String, String>;

/// For each top-level module those that it uses, each with the first file that does.
pub(crate) type Uses = BTreeMap<String, BTreeMap<String, String>>;

/// What a module may use.
pub(crate) type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Reads one crate's arrows: the lines `module, module -> module, module` below the line with the
/// crate's name.
pub(crate) fn arrows(page: &str, package: &str) -> Arrows {
    let mut arrows = Arrows::new();
    let lines = page.lines().skip_while(|line| *line != package).skip(1);
    for line in lines.take_while(|line| line.starts_with("  ")) {
        let (modules, used) = line.split_once("->").unwrap_or((line, ""));
        for module in names(modules) {
            arrows.entry(module).or_default().extend(names(used));
        }
    }
    arrows
}

fn names(list: &str) -> impl Iterator<Item = String> {
    list.split(',')
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
}

/// Everything in which the sources and the arrows disagree; empty if they agree.
pub(crate) fn breaches(sources: &Sources, arrows: &Arrows) -> Vec<String> {
    let mut breaches = Vec::new();
    let uses = uses(sources);
    for (module, used) in &uses {
        let Some(allowed) = arrows.get(module) else {
            breaches.push(format!("{module} has no line"));
            continue;
        };
        for (name, file) in used.iter().filter(|(name, _)| !allowed.contains(*name)) {
            breaches.push(format!("{file} uses {name}: no arrow {module} -> {name}"));
        }
        for name in allowed.iter().filter(|name| !used.contains_key(*name)) {
            breaches.push(format!("nothing in {module} uses {name}: remove the arrow"));
        }
    }
    for module in arrows.keys().filter(|module| !uses.contains_key(*module)) {
        breaches.push(format!("no module {module}: remove its line"));
    }
    breaches.extend(circle(arrows).map(|circle| format!("a circle: {}", circle.join(" -> "))));
    breaches
}

/// A circle in the arrows, if there is one.
fn circle(arrows: &Arrows) -> Option<Vec<String>> {
    fn visit(
        at: &str,
        arrows: &Arrows,
        path: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> bool {
        if let Some(start) = path.iter().position(|module| module == at) {
            path.drain(..start);
            path.push(at.to_owned());
            return true;
        }
        if done.contains(at) {
            return false;
        }
        path.push(at.to_owned());
        let found = arrows
            .get(at)
            .into_iter()
            .flatten()
            .any(|next| visit(next, arrows, path, done));
        if !found {
            path.pop();
            done.insert(at.to_owned());
        }
        found
    }
    let mut done = BTreeSet::new();
    arrows.keys().find_map(|module| {
        let mut path = Vec::new();
        visit(module, arrows, &mut path, &mut done).then_some(path)
    })
}

/// What each top-level module uses. The root file declares the modules and may use them all.
fn uses(sources: &Sources) -> Uses {
    let top = |path: &str| {
        path.split('/')
            .next()
            .unwrap_or(path)
            .trim_end_matches(".rs")
            .to_owned()
    };
    let is_root = |path: &str| matches!(path, "lib.rs" | "main.rs");
    let modules: BTreeSet<String> = sources
        .keys()
        .filter(|path| !is_root(path))
        .map(|path| top(path))
        .collect();
    let exports = exports(sources, &modules);
    let mut uses: Uses = modules
        .iter()
        .map(|module| (module.clone(), BTreeMap::new()))
        .collect();
    for (path, text) in sources.iter().filter(|(path, _)| !is_root(path)) {
        let module = top(path);
        for name in references(text, path) {
            let name = exports.get(&name).unwrap_or(&name).clone();
            if name != module {
                uses.entry(module.clone())
                    .or_default()
                    .entry(name)
                    .or_insert_with(|| path.clone());
            }
        }
    }
    uses
}

/// The names that the root file passes on, each with the module that it comes from.
fn exports(sources: &Sources, modules: &BTreeSet<String>) -> BTreeMap<String, String> {
    let root = sources
        .get("lib.rs")
        .or_else(|| sources.get("main.rs"))
        .map_or("", String::as_str);
    let mut exports = BTreeMap::new();
    let tokens: Vec<TokenTree> = product(parse(root)).into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        if is_ident(token, "use") {
            let end = tokens[at..]
                .iter()
                .position(|token| is_punct(token, ';'))
                .unwrap_or(0);
            let mut path = Vec::new();
            for name in idents(tokens[at + 1..at + end].iter().cloned()) {
                if name != "crate" && name != "self" {
                    path.push(name);
                }
            }
            if let Some(module) = path.first().filter(|module| modules.contains(*module)) {
                exports.extend(path[1..].iter().map(|name| (name.clone(), module.clone())));
            }
        }
    }
    exports
}

/// The first names after `crate::`, or after enough `super::` to reach the root.
fn references(text: &str, path: &str) -> BTreeSet<String> {
    let file = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let mut found = BTreeSet::new();
    collect(product(parse(text)), file.split('/').count(), &mut found);
    found
}

/// `depth` is how many `super::` lead to the root.
fn collect(tokens: TokenStream, depth: usize, found: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        let mut supers = 0;
        while is_ident(&tokens[at], "super") && is_path(&tokens, at + 1) {
            supers += 1;
            at += 3;
            if at >= tokens.len() {
                return;
            }
        }
        let from_crate = is_ident(&tokens[at], "crate") && is_path(&tokens, at + 1);
        if from_crate || (supers > 0 && supers >= depth) {
            let target = tokens.get(if from_crate { at + 3 } else { at });
            found.extend(target.into_iter().flat_map(heads));
        }
        if let TokenTree::Group(group) = &tokens[at] {
            let inline =
                at > 1 && is_ident(&tokens[at - 2], "mod") && group.delimiter() == Delimiter::Brace;
            collect(group.stream(), depth + usize::from(inline), found);
        }
        at += 1;
    }
}

/// The first names of a path, or of each path in braces.
fn heads(target: &TokenTree) -> Vec<String> {
    match target {
        TokenTree::Ident(ident) => vec![ident.to_string()],
        TokenTree::Group(group) => {
            let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
            let paths = tokens.split(|token| is_punct(token, ','));
            paths
                .filter_map(|path| path.first())
                .flat_map(heads)
                .collect()
        }
        _ => Vec::new(),
    }
}

fn parse(text: &str) -> TokenStream {
    text.parse()
        .unwrap_or_else(|error| panic!("not Rust: {error}"))
}

/// Without what `#[cfg(test)]` stands before.
fn product(tokens: TokenStream) -> TokenStream {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_punct(&tokens[at], '#')
            && tokens
                .get(at + 1)
                .is_some_and(|next| next.to_string() == "[cfg (test)]")
        {
            let ends = |token: &TokenTree| {
                is_punct(token, ';')
                    || matches!(token, TokenTree::Group(g) if g.delimiter() == Delimiter::Brace)
            };
            at += tokens[at..].iter().position(ends).unwrap_or(tokens.len()) + 1;
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept.into_iter().collect()
}

/// Every name in a source.
pub(crate) fn names_in(text: &str) -> Vec<String> {
    idents(parse(text))
}

/// All names, those in groups too.
fn idents(tokens: impl IntoIterator<Item = TokenTree>) -> Vec<String> {
    tokens
        .into_iter()
        .flat_map(|token| match token {
            TokenTree::Ident(ident) => vec![ident.to_string()],
            TokenTree::Group(group) => idents(group.stream()),
            _ => Vec::new(),
        })
        .collect()
}

fn is_ident(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == name)
}

fn is_punct(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

fn is_path(tokens: &[TokenTree], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| is_punct(token, ':'))
        && tokens.get(at + 1).is_some_and(|token| is_punct(token, ':'))
}

/// The breaches of a made-up crate against made-up arrows.
fn made_up(files: &[(&str, &str)], page: &str) -> Vec<String> {
    let sources = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    breaches(&sources, &arrows(&format!("x\n{page}\n\nafter"), "x"))
}

#[test]
fn arrows_that_hold_are_no_breach() {
    let files = [
        (
            "lib.rs",
            "pub mod a; mod b; mod c; pub use a::{One, deep::Two}; pub use b::Three;",
        ),
        (
            "a.rs",
            "pub struct One; pub mod deep { pub struct Two; use super::One; }",
        ),
        ("b/mod.rs", "use crate::{a::One as Other, b::x}; mod inner;"),
        (
            "b/inner.rs",
            "use super::y; fn f() -> crate::One { g!(super::super::a::h()) }",
        ),
        (
            "c.rs",
            "//! crate::b\n#[cfg(test)]\nmod tests { use crate::b; }\nuse crate::Two; // crate::b\nconst T: &str = \"crate::b\";",
        ),
    ];
    assert_eq!(made_up(&files, "  a\n  b, c -> a"), Vec::<String>::new());
}

#[test]
fn each_kind_of_breach_is_found() {
    let no_arrow = |how: &str| {
        made_up(
            &[("a.rs", ""), ("b.rs", ""), ("c/d.rs", how)],
            "  a, b\n  c -> a",
        )
    };
    let breach = ["c/d.rs uses b: no arrow c -> b"];
    for how in [
        "use crate::{a, b};",
        "use crate::{a::{self, x}, b::y as z};",
        "use crate::a; fn f() { crate::b::g() }",
        "use crate::a; m!(crate::b);",
        "use crate::a; use super::super::b::h;",
        "use crate::a; mod e { use super::super::super::b; }",
        "use crate::a; impl crate::b::T for U {}",
    ] {
        assert_eq!(no_arrow(how), breach, "{how}");
    }
    let through_root = [
        ("lib.rs", "pub use b::B; mod a; mod b;"),
        ("a.rs", "use crate::B;"),
        ("b.rs", ""),
    ];
    assert_eq!(
        made_up(&through_root, "  a, b"),
        ["a.rs uses b: no arrow a -> b"]
    );
    let in_root = [
        ("lib.rs", "pub struct Root; mod a;"),
        ("a.rs", "use crate::Root;"),
    ];
    assert_eq!(
        made_up(&in_root, "  a"),
        ["a.rs uses Root: no arrow a -> Root"]
    );
    let two = [("a.rs", "use crate::b;"), ("b.rs", "use super::a;")];
    assert_eq!(
        made_up(&two, "  a -> b\n  b -> a"),
        ["a circle: a -> b -> a"]
    );
    let four = [("a.rs", ""), ("b.rs", ""), ("c.rs", ""), ("d.rs", "")];
    let circle = made_up(&four, "  a -> b\n  b -> c\n  c -> d\n  d -> b");
    assert!(
        circle.contains(&"a circle: b -> c -> d -> b".to_owned()),
        "{circle:?}"
    );
    assert_eq!(
        made_up(&[("a.rs", ""), ("b.rs", "")], "  a"),
        ["b has no line"]
    );
    assert_eq!(
        made_up(&[("a.rs", "")], "  a, b"),
        ["no module b: remove its line"]
    );
    assert_eq!(
        made_up(&[("a.rs", ""), ("b.rs", "")], "  a -> b\n  b"),
        ["nothing in a uses b: remove the arrow"]
    );
}
