//! What the library crates offer, item by item, so that none of it changes unseen: `cargo test -p darkport --test public_api` fails on
//! a changed signature, field, variant, derive or attribute. `INSTA_UPDATE=always` accepts what was meant.
#![allow(clippy::disallowed_methods, reason = "the test reads the sources that it lists")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use syn::{Attribute, Fields, ImplItem, Item, Visibility};

const CRATES: [&str; 7] =
    ["darkport", "darkport-bridge", "darkport-diagnose", "darkport-host", "darkport-inventory", "darkport-model", "darkport-probe"];

#[test]
fn the_public_api_is_as_recorded() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        for name in CRATES {
            let text = api(&crates.join(name).join("src"));
            assert!(text.contains("pub "), "{name} offers something");
            insta::assert_snapshot!(format!("public-api-{name}"), text);
        }
    });
}

#[test]
fn a_change_shows() {
    let listed = |code: &str| {
        let file = syn::parse_file(code).unwrap();
        let own = types(&file).collect();
        list(file, &own)
    };
    let before = listed("/// Doc.\npub struct A { pub b: u8, c: u8 } impl A { pub fn d(&self) -> u8 { 1 } fn e() {} } mod f { use g; }");
    assert_eq!(before, "pub struct A {\n    pub b: u8,\n}\nimpl A {\n    pub fn d(&self) -> u8 {}\n}\n");
    for after in [
        "pub struct A { pub b: u16, c: u8 } impl A { pub fn d(&self) -> u8 { 1 } }",
        "pub struct A { pub b: u8, pub c: u8 } impl A { pub fn d(&self) -> u8 { 1 } }",
        "pub struct A { pub b: u8 } impl A { pub fn d(&mut self) -> u8 { 1 } }",
        "#[non_exhaustive] pub struct A { pub b: u8 } impl A { pub fn d(&self) -> u8 { 1 } }",
        "pub struct A { pub b: u8 } impl A { pub fn d(&self) -> u8 { 1 } } impl Clone for A {}",
    ] {
        assert_ne!(listed(after), before, "{after}");
    }
    assert_eq!(listed("/// Other words.\npub struct A { c: u16, pub b: u8 } impl A { pub fn d(&self) -> u8 { 2 } }"), before);
}

/// All public items of a crate's sources, file by file in the order of their names.
fn api(folder: &Path) -> String {
    let mut files = Vec::new();
    sources(folder, &mut files);
    files.sort();
    let parsed: Vec<_> = files.into_iter().map(|file| (syn::parse_file(&fs::read_to_string(&file).unwrap()).unwrap(), file)).collect();
    let own: BTreeSet<String> = parsed.iter().flat_map(|(file, _)| types(file)).collect();
    let mut text = String::new();
    for (parsed, file) in parsed {
        let listed = list(parsed, &own);
        if !listed.is_empty() {
            writeln!(text, "// {}\n{listed}", file.strip_prefix(folder).unwrap().display()).unwrap();
        }
    }
    text
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The public items of one file, without documentation, bodies and whatever is private.
fn list(mut file: syn::File, own: &BTreeSet<String>) -> String {
    file.attrs.clear();
    file.items = file.items.into_iter().filter_map(|item| public(item, own)).collect();
    if file.items.is_empty() { String::new() } else { prettyplease::unparse(&file) }
}

/// The names of a file's public types.
fn types(file: &syn::File) -> impl Iterator<Item = String> {
    file.items.iter().filter_map(|item| match item {
        Item::Struct(item) if is_public(&item.vis) => Some(item.ident.to_string()),
        Item::Enum(item) if is_public(&item.vis) => Some(item.ident.to_string()),
        _ => None,
    })
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Documentation and lint levels are no promise to callers; derives, `non_exhaustive`, `cfg` and serde's attributes are.
fn promised(attributes: &mut Vec<Attribute>) {
    attributes.retain(|attribute| !["doc", "allow", "expect", "warn", "test"].iter().any(|name| attribute.path().is_ident(name)));
}

fn empty() -> syn::Block {
    syn::Block { brace_token: syn::token::Brace::default(), stmts: Vec::new() }
}

fn visible(fields: &mut Fields) {
    if let Fields::Named(named) = fields {
        named.named = std::mem::take(&mut named.named).into_iter().filter(|field| is_public(&field.vis)).collect();
    }
    fields.iter_mut().for_each(|field| promised(&mut field.attrs));
}

fn public(item: Item, own: &BTreeSet<String>) -> Option<Item> {
    let mut item = item;
    let (visibility, attributes) = match &mut item {
        Item::Const(item) => (&item.vis, &mut item.attrs),
        Item::Enum(item) => (&item.vis, &mut item.attrs),
        Item::Fn(item) => (&item.vis, &mut item.attrs),
        Item::Mod(item) => (&item.vis, &mut item.attrs),
        Item::Static(item) => (&item.vis, &mut item.attrs),
        Item::Struct(item) => (&item.vis, &mut item.attrs),
        Item::Trait(item) => (&item.vis, &mut item.attrs),
        Item::Type(item) => (&item.vis, &mut item.attrs),
        Item::Use(item) => (&item.vis, &mut item.attrs),
        Item::Impl(item) => return implementation(std::mem::replace(item, syn::parse_str("impl () {}").unwrap()), own).map(Item::Impl),
        _ => return None,
    };
    if !is_public(visibility) {
        return None;
    }
    promised(attributes);
    match &mut item {
        Item::Fn(item) => *item.block = empty(),
        Item::Struct(item) => visible(&mut item.fields),
        Item::Enum(item) => {
            for variant in &mut item.variants {
                promised(&mut variant.attrs);
                variant.fields.iter_mut().for_each(|field| promised(&mut field.attrs));
            }
        }
        _ => {}
    }
    Some(item)
}

/// Of an inherent `impl` its public functions; of a trait's for a public type that there is one.
fn implementation(mut item: syn::ItemImpl, own: &BTreeSet<String>) -> Option<syn::ItemImpl> {
    promised(&mut item.attrs);
    if item.trait_.is_some() {
        item.items.clear();
        let private =
            matches!(&*item.self_ty, syn::Type::Path(of) if of.path.get_ident().is_some_and(|name| !own.contains(&name.to_string())));
        return (!private).then_some(item);
    }
    item.items.retain_mut(|member| match member {
        ImplItem::Fn(function) => {
            promised(&mut function.attrs);
            function.block = empty();
            is_public(&function.vis)
        }
        ImplItem::Const(constant) => {
            promised(&mut constant.attrs);
            is_public(&constant.vis)
        }
        _ => false,
    });
    (!item.items.is_empty()).then_some(item)
}
