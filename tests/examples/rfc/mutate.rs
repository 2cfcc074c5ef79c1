//! How a tagged statement can be broken: changes of the source below the tag, the most thorough
//! first.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use std::ops::Range;

/// A change of a source file.
pub(crate) struct Mutation {
    pub(crate) at: Range<usize>,
    pub(crate) with: String,
}

impl Mutation {
    /// The file with this change.
    pub(crate) fn apply(&self, text: &str) -> String {
        [&text[..self.at.start], &self.with, &text[self.at.end..]].concat()
    }

    /// What it makes of what, on one line.
    pub(crate) fn describe(&self, text: &str) -> String {
        let short = |text: &str| {
            let words: Vec<&str> = text.split_whitespace().collect();
            let line = words.join(" ");
            match line.char_indices().nth(70) {
                Some((end, _)) => format!("{} ..", &line[..end]),
                None => line,
            }
        };
        match short(&text[self.at.clone()]) {
            before if before.is_empty() => format!("insert `{}`", short(&self.with)),
            before if self.with.is_empty() => format!("remove `{before}`"),
            before => format!("`{before}` becomes `{}`", short(&self.with)),
        }
    }
}

/// The changes of what follows byte `after` of a file.
pub(crate) fn mutations(text: &str, after: usize) -> Vec<Mutation> {
    let Ok(stream) = text.parse::<TokenStream>() else {
        return Vec::new();
    };
    let mut found = Finder {
        text,
        mutations: Vec::new(),
    };
    found.find(&stream, after, Delimiter::None);
    let mut seen = std::collections::HashSet::new();
    found.mutations.retain(|it| {
        it.with != text[it.at.clone()] && seen.insert((it.at.clone(), it.with.clone()))
    });
    found.mutations
}

fn range(tree: &TokenTree) -> Range<usize> {
    tree.span().byte_range()
}

fn is(tree: &TokenTree, text: &str) -> bool {
    match tree {
        TokenTree::Ident(ident) => ident == text,
        TokenTree::Punct(punct) => text.len() == 1 && text.starts_with(punct.as_char()),
        _ => false,
    }
}

fn block(tree: &TokenTree) -> Option<&Group> {
    match tree {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
        _ => None,
    }
}

struct Finder<'a> {
    text: &'a str,
    mutations: Vec<Mutation>,
}

impl Finder<'_> {
    fn add(&mut self, at: Range<usize>, with: impl Into<String>) {
        self.mutations.push(Mutation {
            at,
            with: with.into(),
        });
    }

    /// The text of these trees, which follow each other.
    fn source(&self, trees: &[TokenTree]) -> &str {
        self.text.get(span(trees)).unwrap_or_default()
    }

    fn find(&mut self, stream: &TokenStream, after: usize, parent: Delimiter) {
        let trees: Vec<TokenTree> = stream.clone().into_iter().collect();
        for (at, tree) in trees.iter().enumerate() {
            let place = range(tree);
            if let TokenTree::Group(group) = tree
                && place.start < after
                && after < place.end
            {
                return self.find(&group.stream(), after, group.delimiter());
            }
            if place.start >= after {
                return self.node(&trees[at..], parent);
            }
        }
    }

    /// The statement, arm, field, item or operand that these begin with.
    fn node(&mut self, trees: &[TokenTree], parent: Delimiter) {
        let trees = without_attributes(trees);
        let Some(first) = trees.first() else { return };
        let item = trees
            .iter()
            .position(|tree| !(is(tree, "pub") || is_parenthesis(tree)))
            .map_or(trees, |at| &trees[at..]);
        if item.iter().take(2).any(|tree| is(tree, "fn")) {
            self.function(item);
        } else if is(&item[0], "const") || is(&item[0], "static") || is(first, "let") {
            self.binding(item);
        } else if is(first, "if") || is(first, "while") {
            self.condition(trees);
        } else if is(first, "for") {
            if let Some(body) = trees.iter().find_map(block) {
                self.add(body.span().byte_range(), "{}");
            }
        } else if let Some(arrow) = arrow(trees, parent) {
            self.arm(trees, arrow);
        } else if is(first, "&") || is(first, "|") {
            self.operand(trees);
        } else if is(first, ".") {
            self.method(trees);
        } else {
            self.statement(trees, parent);
        }
    }

    fn condition(&mut self, trees: &[TokenTree]) {
        let Some(end) = trees.iter().position(|tree| block(tree).is_some()) else {
            return;
        };
        let condition = &trees[1..end];
        let at = span(condition);
        let source = self.source(condition).to_owned();
        if condition.iter().any(|tree| is(tree, "let")) {
            self.add(at.end..at.end, " && false");
        } else {
            self.add(at.clone(), format!("({source}) && false"));
            self.add(at, format!("({source}) || true"));
        }
        if let Some(body) = trees.get(end).and_then(block) {
            self.add(body.span().byte_range(), "{}");
        }
        self.expression(condition);
    }

    fn function(&mut self, trees: &[TokenTree]) {
        let Some(body) = trees.iter().find_map(block) else {
            return;
        };
        let inside = body.span().byte_range();
        let from = inside.start + 1;
        let result = trees
            .windows(2)
            .any(|pair| is(&pair[0], "-") && is(&pair[1], ">"));
        if result {
            for value in ["false", "None", "Ok(())", "Default::default()", "0", "true"] {
                self.add(from..from, format!(" if true {{ return {value}; }}"));
            }
        } else {
            self.add(from..from, " if true { return; }");
        }
        let body: Vec<TokenTree> = body.stream().into_iter().collect();
        self.expression(&body);
    }

    fn binding(&mut self, trees: &[TokenTree]) {
        let end = trees.iter().position(|tree| is(tree, ";"));
        let Some(equals) = trees.iter().position(|tree| is(tree, "=")) else {
            return;
        };
        let value = &trees[equals + 1..end.unwrap_or(trees.len())];
        let value = match value.iter().position(|tree| is(tree, "else")) {
            Some(at) if !value.iter().any(|tree| is(tree, "if")) => &value[..at],
            _ => value,
        };
        self.value(value);
    }

    /// An arm of a match, whose arrow is at `arrow`.
    fn arm(&mut self, trees: &[TokenTree], arrow: usize) {
        let pattern = &trees[..arrow];
        match pattern.iter().position(|tree| is(tree, "if")) {
            Some(at) => {
                let guard = &pattern[at + 1..];
                let source = self.source(guard).to_owned();
                self.add(span(guard), format!("false && ({source})"));
                self.expression(guard);
            }
            None => {
                let end = span(pattern).end;
                self.add(end..end, " if false");
            }
        }
        let rest = &trees[arrow + 2..];
        let Some(body) = rest.first() else { return };
        if let Some(group) = block(body) {
            self.add(group.span().byte_range(), "{}");
            let inside: Vec<TokenTree> = group.stream().into_iter().collect();
            self.expression(&inside);
        } else {
            let end = rest.iter().position(|tree| is(tree, ","));
            let value = &rest[..end.unwrap_or(rest.len())];
            self.add(span(value), "{}");
            self.value(value);
        }
    }

    /// `&& ..` or `|| ..`, within a condition.
    fn operand(&mut self, trees: &[TokenTree]) {
        let neutral = if is(&trees[0], "&") { "true" } else { "false" };
        let rest = &trees[2..];
        let end = rest
            .windows(2)
            .position(|pair| {
                ["&", "|"]
                    .iter()
                    .any(|it| is(&pair[0], it) && is(&pair[1], it))
            })
            .unwrap_or(rest.len())
            .min(
                rest.iter()
                    .position(|tree| {
                        is(tree, ";") || is(tree, ",") || block(tree).is_some() || is(tree, "=")
                    })
                    .unwrap_or(rest.len()),
            );
        let operand = &rest[..end];
        let source = self.source(operand).to_owned();
        self.add(span(operand), neutral);
        self.add(span(operand), format!("!({source})"));
        self.expression(operand);
    }

    /// `.method(..)` of a chain on several lines.
    fn method(&mut self, trees: &[TokenTree]) {
        let end = trees
            .iter()
            .position(is_parenthesis)
            .map_or(trees.len(), |at| at + 1);
        self.add(span(&trees[..end]), "");
        self.expression(&trees[..end]);
    }

    fn statement(&mut self, trees: &[TokenTree], parent: Delimiter) {
        let semicolon = trees.iter().position(|tree| is(tree, ";"));
        let comma = trees.iter().position(|tree| is(tree, ","));
        let braces = parent == Delimiter::Brace;
        let field = trees.len() > 1
            && (is(&trees[1], ":") && !trees.get(2).is_some_and(|tree| is(tree, ":")));
        if braces && field {
            return self.value(&trees[2..comma.unwrap_or(trees.len())]);
        }
        match semicolon {
            Some(end) => {
                if !is(&trees[0], "return") {
                    self.add(span(&trees[..=end]), "");
                    if let Some(at) = assignment(&trees[..end]) {
                        return self.value(&trees[at..end]);
                    }
                    return self.expression(&trees[..end]);
                }
                self.value(&trees[1..end]);
            }
            None if braces => self.value(trees),
            None => self.value(&trees[..comma.unwrap_or(trees.len())]),
        }
    }

    /// Another value for this one.
    fn value(&mut self, trees: &[TokenTree]) {
        if trees.is_empty() {
            return;
        }
        let at = span(trees);
        let source = self.source(trees).to_owned();
        if matches!(trees, [TokenTree::Literal(_)]) {
            return self.arithmetic(trees);
        }
        if is_boolean(trees, &source) {
            self.add(at.clone(), format!("!({source})"));
        }
        for (start, value) in [("true", "false"), ("Some", "None"), ("Err", "Ok(())")] {
            if source.starts_with(start) {
                self.add(at.clone(), value);
            }
        }
        if source == "None" {
            return self.add(at, "Some(Default::default())");
        }
        self.operators(trees);
        self.words(trees);
        self.add(at.clone(), "Default::default()");
        self.expression(trees);
        self.add(at.clone(), format!("!({source})"));
        for value in ["None", "Ok(())", "false"] {
            self.add(at.clone(), value);
        }
    }

    /// Other operators and numbers in these.
    fn expression(&mut self, trees: &[TokenTree]) {
        self.operators(trees);
        self.words(trees);
        for tree in trees {
            if let TokenTree::Group(group) = tree {
                let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                self.expression(&inside);
            }
        }
        self.arithmetic(trees);
    }

    fn operators(&mut self, trees: &[TokenTree]) {
        for pair in trees.windows(2) {
            let both = span(pair);
            let text = self.text.get(both.clone()).unwrap_or_default();
            let other = match text {
                "==" => "!=",
                "!=" => "==",
                "<=" => ">",
                ">=" => "<",
                "&&" => "||",
                "||" => "&&",
                "<<" => ">>",
                ">>" => "<<",
                _ => continue,
            };
            self.add(both, other);
        }
        for three in trees.windows(3) {
            let around = |at: usize| self.text.get(at..at + 1).unwrap_or_default() == " ";
            let at = range(&three[1]);
            if is(&three[1], "<") && around(at.end) && around(at.start - 1) {
                self.add(at, ">=");
            } else if is(&three[1], ">") && around(at.end) && around(at.start - 1) {
                self.add(at, "<=");
            }
        }
    }

    fn words(&mut self, trees: &[TokenTree]) {
        for tree in trees {
            let TokenTree::Ident(ident) = tree else {
                continue;
            };
            let other = match ident.to_string().as_str() {
                "lt" => "ge",
                "le" => "gt",
                "gt" => "le",
                "ge" => "lt",
                "min" => "max",
                "max" => "min",
                "max_by_key" => "min_by_key",
                "true" => "false",
                "false" => "true",
                "any" => "all",
                "all" => "any",
                "local" => "remote",
                "remote" => "local",
                "una" => "nxt",
                "nxt" => "una",
                _ => continue,
            };
            self.add(range(tree), other);
        }
    }

    fn arithmetic(&mut self, trees: &[TokenTree]) {
        for tree in trees {
            let at = range(tree);
            match tree {
                TokenTree::Literal(literal) => {
                    let digits = literal.to_string().replace('_', "");
                    if let Ok(number) = digits.parse::<u64>() {
                        self.add(at.clone(), "0");
                        self.add(at.clone(), (number * 2 + 1).to_string());
                        self.add(at, (number + 1).to_string());
                    }
                }
                TokenTree::Punct(punct) => {
                    let around = self.text.get(at.start - 1..at.end + 1).unwrap_or_default();
                    match (punct.as_char(), around) {
                        ('+', " + ") => self.add(at, "-"),
                        ('-', " - ") => self.add(at, "+"),
                        ('*', " * ") => self.add(at, "+"),
                        ('/', " / ") => self.add(at, "*"),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }
}

/// Where the value of `a.b = value` or `a += value` begins.
fn assignment(trees: &[TokenTree]) -> Option<usize> {
    let at = trees.iter().position(|tree| is(tree, "="))?;
    let compares = trees
        .get(at + 1)
        .is_some_and(|tree| is(tree, "=") || is(tree, ">"))
        || at
            .checked_sub(1)
            .is_some_and(|at| ["=", "!", "<", ">"].iter().any(|it| is(&trees[at], it)));
    (!compares).then_some(at + 1)
}

fn is_parenthesis(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis)
}

fn without_attributes(trees: &[TokenTree]) -> &[TokenTree] {
    let mut trees = trees;
    while let [hash, TokenTree::Group(_), rest @ ..] = trees
        && is(hash, "#")
    {
        trees = rest;
    }
    trees
}

/// Where the arrow of a match's arm is.
fn arrow(trees: &[TokenTree], parent: Delimiter) -> Option<usize> {
    if parent != Delimiter::Brace {
        return None;
    }
    let end = trees
        .iter()
        .position(|tree| is(tree, ";") || is(tree, ",") || is(tree, "let"))
        .unwrap_or(trees.len());
    trees[..end].windows(2).position(|pair| {
        is(&pair[0], "=") && is(&pair[1], ">") && range(&pair[0]).end == range(&pair[1]).start
    })
}

fn is_boolean(trees: &[TokenTree], source: &str) -> bool {
    let words = [" && ", " || ", " == ", " != ", " < ", " > ", " <= ", " >= "];
    let calls = [
        ".lt(",
        ".le(",
        ".gt(",
        ".ge(",
        ".contains(",
        "matches!",
        ".is_",
        ".in_window(",
    ];
    let top: String = trees
        .iter()
        .map(|tree| match tree {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => String::from("{}"),
            tree => tree.to_string(),
        })
        .collect();
    is(&trees[0], "!")
        || (!top.contains("{}")
            && (words.iter().any(|it| source.contains(it))
                || calls.iter().any(|it| source.contains(it))))
}

/// From the first to the last of these.
fn span(trees: &[TokenTree]) -> Range<usize> {
    match (trees.first(), trees.last()) {
        (Some(first), Some(last)) => range(first).start..range(last).end,
        _ => 0..0,
    }
}
