//! Every error of exit code 3 in the harness, with its cause and hint, under one snapshot: whoever adds or
//! changes one reads what a person will read. That none is without a cause and a hint, the compiler sees
//! to. What cannot be told from the source stands as the expression that makes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::visit::Visit;
use syn::{Expr, Lit};

use crate::source::{has_cfg_test, is_for_tests};
use crate::{read, root};

#[derive(Default)]
struct Errors {
    found: BTreeSet<[String; 3]>,
    /// Texts of the hints that many share.
    hints: BTreeMap<String, String>,
    /// What variables of the function at hand stand for.
    variables: BTreeMap<String, String>,
}

impl Errors {
    fn add(&mut self, parts: [String; 3]) {
        let named = |part: String| {
            let name = part.trim_start_matches("hint::").trim_end_matches("()");
            let meant = self.variables.get(name).or_else(|| self.hints.get(name));
            meant.cloned().unwrap_or(part)
        };
        self.found.insert(parts.map(named));
    }
}

impl<'ast> Visit<'ast> for Errors {
    fn visit_item(&mut self, it: &'ast syn::Item) {
        if !is_for_tests(it) {
            syn::visit::visit_item(self, it);
        }
    }

    fn visit_impl_item_fn(&mut self, it: &'ast syn::ImplItemFn) {
        if !has_cfg_test(&it.attrs) {
            syn::visit::visit_impl_item_fn(self, it);
        }
    }

    fn visit_item_const(&mut self, it: &'ast syn::ItemConst) {
        self.hints.insert(it.ident.to_string(), words(&it.expr));
    }

    fn visit_signature(&mut self, _: &'ast syn::Signature) {
        self.variables.clear();
    }

    fn visit_local(&mut self, it: &'ast syn::Local) {
        if let (syn::Pat::Ident(name), Some(init)) = (&it.pat, &it.init) {
            self.variables
                .insert(name.ident.to_string(), words(&init.expr));
        }
        syn::visit::visit_local(self, it);
    }

    fn visit_expr_call(&mut self, it: &'ast syn::ExprCall) {
        let called = it.func.to_token_stream().to_string().replace(' ', "");
        let args: Vec<&Expr> = it.args.iter().collect();
        if let ("Error::environment", [what, cause, hint]) = (called.as_str(), args.as_slice()) {
            self.add([words(what), words(cause), words(hint)]);
        }
        syn::visit::visit_expr_call(self, it);
    }

    fn visit_expr_method_call(&mut self, it: &'ast syn::ExprMethodCall) {
        let args: Vec<&Expr> = it.args.iter().collect();
        if let ("or_environment", [what, hint]) = (it.method.to_string().as_str(), args.as_slice())
        {
            let cause = "(what failed)".to_owned();
            self.add([words(what), cause, words(hint)]);
        }
        syn::visit::visit_expr_method_call(self, it);
    }
}

/// A text as it is written, without what makes a string of it.
fn words(expression: &Expr) -> String {
    match expression {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => text.value(),
            other => other.to_token_stream().to_string(),
        },
        Expr::Closure(closure) => words(&closure.body),
        Expr::MethodCall(call) if call.method == "into" || call.method == "to_owned" => {
            words(&call.receiver)
        }
        Expr::Macro(it) if it.mac.path.is_ident("format") => template(&it.mac.tokens),
        other => other.to_token_stream().to_string().replace(' ', ""),
    }
}

/// The template of a `format!`.
fn template(tokens: &TokenStream) -> String {
    let first = tokens
        .clone()
        .into_iter()
        .next()
        .map(|token| token.to_string());
    let text = first.and_then(|token| syn::parse_str::<syn::LitStr>(&token).ok());
    text.map_or_else(|| tokens.to_string(), |text| text.value())
}

#[test]
fn every_error_of_exit_code_3_has_these_words() {
    let files = ["harness/core", "harness/sim", "harness"].map(|package| {
        let files = read(&root().join(package).join("src"));
        let own = files
            .into_iter()
            .filter(|(name, _)| !name.ends_with("tests.rs"));
        own.map(move |(name, text)| (format!("{package}/src/{name}"), text))
    });
    let mut files: Vec<(String, String)> = files.into_iter().flatten().collect();
    // What defines the hints comes first.
    let defines = |name: &str| name.ends_with("/error.rs") || name.ends_with("/hint.rs");
    files.sort_by_key(|(name, _)| (!defines(name), name.clone()));
    let mut text = String::new();
    let mut errors = Errors::default();
    for (name, source) in files {
        let defined = errors.hints.clone();
        errors.visit_file(&syn::parse_file(&source).expect("a source that compiles"));
        if !defines(&name) {
            errors.hints = defined;
        }
        let found = std::mem::take(&mut errors.found);
        // How errors are made in general is none of them.
        for [what, cause, hint] in found.into_iter().filter(|_| !defines(&name)) {
            let error = format!("  Error: {what}\n  Caused by: {cause}\n  Hint: {hint}");
            writeln!(text, "{name}\n{error}").expect("a string takes all");
        }
    }
    insta::assert_snapshot!(text);
}
