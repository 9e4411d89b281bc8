//! The verbs that every type of object has: list, show, create, set and delete.
//!
//! One implementation for all: what differs is the collection, the columns of its table, and the
//! word the server knows it by.

mod columns;
pub(crate) mod edit;

use edit::Body;
pub(crate) use edit::Patch;

use crate::print;
use crate::prompt;
use crate::rest::{Call, Client, encode};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use protocol::model::Kind;
use serde_json::{Map, Value};

/// Objects that are asked for at a time where all are wanted.
const PART: u32 = 500;

/// Verbs of a type of object
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the objects
    #[command(visible_alias = "ls")]
    List(List),
    /// Show one object
    Show(Show),
    /// Make an object from fields, or from a JSON or YAML file
    Create(Create),
    /// Make an object of another one, which stays as it is
    Clone(Copy),
    /// Change fields of an object
    Set(Set),
    /// Delete objects
    Delete(Delete),
}

/// Arguments of `list`
#[derive(Debug, Default, clap::Args)]
pub(crate) struct List {
    /// Only those that match, such as `Name=Re(^web)` or `Available=false`; all must
    #[arg(value_name = "FIELD=VALUE", value_parser = filter)]
    filters: Vec<(String, String)>,
    /// Order by this field; - before it turns the order round
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    sort: Option<String>,
    /// At most this many
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u32>,
    /// Leave out this many before them
    #[arg(long, value_name = "NUMBER")]
    offset: Option<u32>,
    #[command(flatten)]
    pub(crate) call: Call,
}

/// Arguments of `show`
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Its name
    key: String,
    #[command(flatten)]
    call: Call,
}

/// Arguments of `create`
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    #[command(flatten)]
    body: Body,
    #[command(flatten)]
    pub(crate) call: Call,
}

/// Arguments of `clone`
#[derive(Debug, clap::Args)]
pub(crate) struct Copy {
    /// The name of the one that there is
    key: String,
    /// The name of the new one
    name: String,
    #[command(flatten)]
    call: Call,
}

/// Arguments of `set`
#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// Its name
    pub(crate) key: String,
    #[command(flatten)]
    patch: Patch,
    #[command(flatten)]
    pub(crate) call: Call,
}

/// Arguments of a verb, beside those that one type of object has.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct With<P: clap::Args, V: clap::Args> {
    #[command(flatten)]
    pub(crate) parts: P,
    #[command(flatten)]
    pub(crate) verb: V,
}

/// Arguments of `delete`
#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// Their names
    #[arg(required = true)]
    keys: Vec<String>,
    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,
    #[command(flatten)]
    call: Call,
}

/// One type of object as the command line knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Collection {
    /// The server's collection.
    pub(crate) kind: Kind,
    /// One of them, for people.
    pub(crate) noun: &'static str,
    /// What every object in it has among its labels; lists show no others.
    label: Option<(&'static str, &'static str)>,
}

impl Collection {
    /// All objects of a kind.
    pub(crate) const fn of(kind: Kind) -> Self {
        Self { kind, noun: kind.noun(), label: None }
    }

    /// Profiles that are machine roles.
    pub(crate) const MACHINE_ROLES: Self =
        Self { kind: Kind::Profiles, noun: "role", label: Some(("muster-role", "true")) };

    /// Claims under a name.
    pub(crate) const ACCESS_ROLES: Self = Self { kind: Kind::Roles, noun: "access role", label: None };

    /// Where it is.
    pub(crate) fn path(self) -> String {
        format!("/api/v3/{}", self.kind.prefix())
    }

    /// Where one object of it is.
    pub(crate) fn path_of(self, key: &str) -> String {
        format!("{}/{}", self.path(), encode(key))
    }

    /// What a new object has to have besides what the operator gave.
    fn complete(self, body: &mut Value) {
        if let (Some((label, value)), Some(object)) = (self.label, body.as_object_mut()) {
            let meta = object.entry("Meta").or_insert_with(|| Value::Object(Map::new()));
            if let Some(meta) = meta.as_object_mut() {
                meta.insert(label.to_owned(), value.into());
            }
        }
    }

    fn holds(self, object: &Value) -> bool {
        self.label.is_none_or(|(label, value)| object["Meta"][label] == value)
    }
}

/// Runs one verb.
pub(crate) async fn run(collection: Collection, command: Command) -> Result<()> {
    match command {
        Command::List(args) => list(collection, args).await,
        Command::Show(args) => show(collection, args).await,
        Command::Create(args) => create(collection, args).await,
        Command::Clone(args) => copy(collection, args).await,
        Command::Set(args) => set_with(collection, args, adding(Map::new())).await,
        Command::Delete(args) => delete(collection, args).await,
    }
}

async fn list(collection: Collection, args: List) -> Result<()> {
    let answer = args.fetch(collection).await?;
    args.call.show(&answer, || columns::draw_list(collection, &answer))
}

impl List {
    /// Asks for these filters too, and for this order unless another one was asked for.
    pub(crate) fn also(&mut self, filters: Vec<(String, String)>, order: &str) {
        self.filters.extend(filters);
        self.sort.get_or_insert_with(|| order.to_owned());
    }

    /// The list as the server tells it.
    pub(crate) async fn fetch(&self, collection: Collection) -> Result<Value> {
        let client = self.call.client()?;
        let mut answer = client.get(&format!("{}{}", collection.path(), query(self))).await?;
        if let Some(objects) = answer.as_array_mut() {
            objects.retain(|object| collection.holds(object));
        }
        Ok(answer)
    }
}

/// All objects that these filters leave, however many there are, in the order of a field.
pub(crate) async fn all(
    client: &Client,
    collection: Collection,
    filters: &[(String, String)],
    order: &str,
) -> Result<Vec<Value>> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let part = List {
            filters: filters.to_vec(),
            sort: Some(order.to_owned()),
            limit: Some(PART),
            offset: Some(u32::try_from(all.len()).context("the list does not end")?),
            ..List::default()
        };
        let Value::Array(part) = client.get(&format!("{}{}", collection.path(), query(&part))).await? else {
            bail!("the server's answer is no list");
        };
        let is_last = u32::try_from(part.len()).is_ok_and(|got| got < PART);
        all.extend(part);
        if is_last {
            return Ok(all);
        }
    }
}

fn query(args: &List) -> String {
    let mut pairs: Vec<(String, String)> = args.filters.clone();
    if let Some(sort) = &args.sort {
        let reversed = sort.strip_prefix('-');
        pairs.push(("sort".to_owned(), reversed.unwrap_or(sort).to_owned()));
        if reversed.is_some() {
            pairs.push(("reverse".to_owned(), "true".to_owned()));
        }
    }
    let numbers = [("limit", args.limit), ("offset", args.offset)];
    pairs.extend(numbers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_string()))));
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// `FIELD=VALUE`, before anyone is asked.
pub(crate) fn filter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((field, value)) if !field.is_empty() => Ok((field.to_owned(), value.to_owned())),
        _ => Err("a filter is FIELD=VALUE or FIELD=FUNCTION(VALUE), such as Name=Re(^web)".to_owned()),
    }
}

async fn show(collection: Collection, args: Show) -> Result<()> {
    let client = args.call.client()?;
    let answer = client.get(&collection.path_of(&args.key)).await?;
    args.call.show(&answer, || columns::draw(&answer))
}

/// Makes an object.
pub(crate) async fn create(collection: Collection, args: Create) -> Result<()> {
    create_with(collection, args, adding(Map::new())).await
}

/// Makes an object of what was given and what `more` adds.
pub(crate) async fn create_with(
    collection: Collection,
    args: Create,
    more: impl FnOnce(&mut Map<String, Value>) -> Result<()>,
) -> Result<()> {
    let mut body = args.body.read(collection.kind)?;
    collection.complete(&mut body);
    body.as_object_mut().map_or(Ok(()), more)?;
    let client = args.call.client()?;
    let answer = client.post(&collection.path(), &body).await?;
    args.call.show(&answer, || Ok(format!("made {} {}", collection.noun, key_of(collection, &answer)?)))
}

/// What the server sets of an object it sets anew, whatever the copy says.
async fn copy(collection: Collection, args: Copy) -> Result<()> {
    let client = args.call.client()?;
    let original = client.get(&collection.path_of(&args.key)).await?;
    let answer = client.post(&collection.path(), &renamed(collection, original, &args.name)).await?;
    args.call.show(&answer, || Ok(format!("made {} {} of {}", collection.noun, args.name, args.key)))
}

fn renamed(collection: Collection, mut object: Value, name: &str) -> Value {
    object[collection.kind.key_field()] = name.into();
    object
}

/// What a command adds to an object: fields that it has options for.
pub(crate) fn adding(fields: Map<String, Value>) -> impl FnOnce(&mut Map<String, Value>) -> Result<()> {
    move |object| {
        object.extend(fields);
        Ok(())
    }
}

/// Changes an object by what was given and what `more` adds.
pub(crate) async fn set_with(
    collection: Collection,
    args: Set,
    more: impl FnOnce(&mut Map<String, Value>) -> Result<()>,
) -> Result<()> {
    let patch = args.patch.read(more)?;
    let client = args.call.client()?;
    let answer = client.patch(&args.patch.at(&collection.path_of(&args.key)), &patch).await?;
    args.call.show(&answer, || Ok(format!("changed {} {}", collection.noun, key_of(collection, &answer)?)))
}

async fn delete(collection: Collection, args: Delete) -> Result<()> {
    let client = args.call.client()?;
    let names = args.keys.join(", ");
    if !args.yes {
        if !prompt::can_ask() {
            bail!("this deletes {} {names}: pass --yes to do it without a terminal", collection.noun);
        }
        if !prompt::confirm(&format!("Delete {} {names}?", collection.noun))? {
            bail!("nothing was deleted");
        }
    }
    let mut gone = Vec::new();
    for key in &args.keys {
        gone.push(client.delete(&collection.path_of(key)).await.with_context(|| after(&gone))?);
    }
    args.call.show(&Value::Array(gone), || Ok(format!("deleted {} {names}", collection.noun)))
}

/// What was done before it went wrong.
fn after(gone: &[Value]) -> String {
    match gone.len() {
        0 => "nothing was deleted".to_owned(),
        count => format!("{count} of them deleted, then"),
    }
}

fn key_of(collection: Collection, object: &Value) -> Result<String> {
    let field = if collection.kind == Kind::Machines { "Name" } else { collection.kind.key_field() };
    let key = object[field].as_str().context("the server's answer is no such object")?;
    Ok(print::one_line(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn filters_orders_and_pages_become_one_query() {
        let args = List {
            filters: vec![filter("Name=Re(^web)").unwrap(), filter("Params.a/b=Eq(1)").unwrap()],
            sort: Some("-Name".to_owned()),
            limit: Some(5),
            ..List::default()
        };
        assert_eq!(
            query(&args),
            "?Name=Re%28%5Eweb%29&Params.a%2Fb=Eq%281%29&sort=Name&reverse=true&limit=5"
        );
        assert_eq!(query(&List::default()), "");
        assert!(filter("Name").unwrap_err().contains("FIELD=VALUE"));
    }

    #[test]
    fn machine_role_is_a_profile_with_a_label() {
        let mut body = json!({"Name": "web"});
        Collection::MACHINE_ROLES.complete(&mut body);
        assert_eq!(body, json!({"Name": "web", "Meta": {"muster-role": "true"}}));
        assert!(Collection::MACHINE_ROLES.holds(&body));
        assert!(!Collection::MACHINE_ROLES.holds(&json!({"Name": "x", "Meta": {}})));
        assert!(Collection::of(Kind::Profiles).holds(&json!({"Name": "x"})));
    }

    #[test]
    fn copy_has_another_name_and_all_else() {
        let template = json!({"ID": "motd", "Contents": "hi", "ReadOnly": true});
        let copy = renamed(Collection::of(Kind::Templates), template, "motd-2");
        assert_eq!(copy, json!({"ID": "motd-2", "Contents": "hi", "ReadOnly": true}));
    }

    #[test]
    fn names_become_one_path_segment() {
        assert_eq!(Collection::of(Kind::Params).path_of("muster/image"), "/api/v3/params/muster%2Fimage");
    }
}
