//! Bundles of content: imported whole, read back, given up (`engine/src/content/bundle.rs` decides).

use super::App;
use super::actor::Actor;
use super::error::AppError;
use super::objects::{Pair, flag};
use engine::change::Cause;
use engine::content::{BundleEdit, CONTENTS, Content};
use engine::problem::Problem;
use protocol::model::Kind;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Objects that machines refer to.
type Used = BTreeSet<(Kind, String)>;

impl App {
    /// All bundles in short.
    ///
    /// # Errors
    /// `AUTH` without the claim.
    pub(crate) async fn bundles(&self, actor: &Actor) -> Result<Vec<Value>, AppError> {
        actor.may(CONTENTS, "list", "")?;
        self.refresh_content().await?;
        Ok(self.content().bundles())
    }

    /// A bundle as the document it can be imported from.
    ///
    /// # Errors
    /// `AUTH` without the claim, not found.
    pub(crate) async fn bundle(&self, actor: &Actor, name: &str) -> Result<Value, AppError> {
        actor.may(CONTENTS, "get", name)?;
        self.refresh_content().await?;
        self.content().bundle(name).ok_or_else(|| AppError::not_found(CONTENTS, name))
    }

    /// Takes a document, in place of the bundle of the name `replace` if that is given, which need
    /// not be there; answers it in short. With `check=true` it only says what would become of it.
    ///
    /// # Errors
    /// Everything that speaks against it.
    pub(crate) async fn import_bundle(
        &self,
        actor: &Actor,
        document: Value,
        replace: Option<String>,
        query: &[Pair],
    ) -> Result<Value, AppError> {
        let name = document["meta"]["Name"].as_str().unwrap_or_default().to_owned();
        actor.may(CONTENTS, if replace.is_some() { "update" } else { "create" }, &name)?;
        let only_check = flag(query, "check")?;
        self.refresh_content().await?;
        let used = Arc::new(self.used_of(&name).await?);
        let document = Arc::new(document);
        let import = move |content: &Content, cause: &Cause| {
            content.import(&document, replace.as_deref(), &used, cause)
        };
        if only_check {
            return Ok(self.decide_aside(actor, import).await?.summary);
        }
        self.change_bundle(actor, import).await
    }

    /// Gives a bundle up, and answers what it was in short.
    ///
    /// # Errors
    /// Not found, part of the server, still in use.
    pub(crate) async fn withdraw_bundle(&self, actor: &Actor, name: &str) -> Result<Value, AppError> {
        actor.may(CONTENTS, "delete", name)?;
        self.refresh_content().await?;
        let (used, name) = (self.used_of(name).await?, name.to_owned());
        self.change_bundle(actor, move |content: &Content, cause: &Cause| {
            content.withdraw(&name, &used, cause)
        })
        .await
    }

    async fn change_bundle(
        &self,
        actor: &Actor,
        decide: impl Fn(&Content, &Cause) -> Result<BundleEdit, Problem> + Clone + Send + Sync + 'static,
    ) -> Result<Value, AppError> {
        let decided = self.decide_aside(actor, decide.clone()).await?;
        let seen = self.content().revision;
        let summary = decided.summary.clone();
        let change = move |content: &Content, cause: &Cause| {
            // Decided already, unless somebody changed the content meanwhile.
            if content.revision == seen && decided.changes.on_content == Some(seen) {
                return Ok((decided.content.clone(), decided.changes.clone()));
            }
            let edit = decide(content, cause)?;
            Ok((edit.content, edit.changes))
        };
        self.change_content(actor, change).await?;
        Ok(summary)
    }

    /// Decides off the async threads: a bundle may hold thousands of templates to read.
    async fn decide_aside(
        &self,
        actor: &Actor,
        decide: impl Fn(&Content, &Cause) -> Result<BundleEdit, Problem> + Send + 'static,
    ) -> Result<BundleEdit, AppError> {
        let (content, cause) = (self.content(), actor.cause(self.clock.now()));
        let decided = tokio::task::spawn_blocking(move || decide(&content, &cause)).await;
        Ok(decided.map_err(AppError::internal)??)
    }

    /// Which objects of a bundle machines refer to.
    async fn used_of(&self, name: &str) -> Result<Used, AppError> {
        let mut used = Used::new();
        for (kind, key) in self.content().objects_of(name) {
            if self.machines_need(kind, &key).await? {
                used.insert((kind, key));
            }
        }
        Ok(used)
    }
}
