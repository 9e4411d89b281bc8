//! Bootstrap tokens: issued to be pasted into the boot servers that exist already, and listed. How
//! they end before their time is next door.

use super::App;
use super::actor::{Action, Actor};
use super::error::{AppError, AppErrorKind};
use crate::keys::{SealError, Sealed, random};
use engine::admission::{AHEAD, AUDIENCE, BootstrapClaims, Terms};
use engine::change::{AuditKind, AuditRow, Cause, Change, Changes, IssuedToken};
use engine::render::Addresses;
use engine::revocation::{Revocation, Scope, TokenMarks, first_second};
use engine::time::Timestamp;
use protocol::cmdline::KernelArgs;
use protocol::rest::{self, BootLink, BootMenus, MediaFile, TokenCreate, TokenCreated, TokenState};
use protocol::token::{BootstrapToken, base64url};
use pxe::documents::{DocumentError, MenuEntry, grub, ipxe, pxelinux};
use std::collections::{HashMap, HashSet};

/// Our kernel and ramdisk, as files of the media and as boot servers usually hold them.
const KERNEL: &str = "vmlinuz";
const INITRD: &str = "initrd";
const FOLDER: &str = "muster";

/// Issuer of the tokens in boot files, which nobody asked for by name.
pub(super) const SERVER: &str = "system";

/// Most tokens of the list that are read and told at once.
const TOKENS_PAGE: u32 = 500;

impl App {
    /// Issues a bootstrap token with everything needed to paste it somewhere.
    ///
    /// # Errors
    /// `ValidationError` for terms that no token is made on, or a line too long for a kernel.
    pub(crate) async fn create_token(
        &self,
        actor: &Actor,
        request: TokenCreate,
    ) -> Result<TokenCreated, AppError> {
        actor.require(Action::BootstrapTokenCreate)?;
        let lifetime = request.lifetime;
        let (kernel, initrd) = (place(&request.kernel, KERNEL), place(&request.initrd, INITRD));
        let terms = Terms::parse(request)?;
        self.check_mesh(&terms)?;
        let (sealed, issued) = self.new_token(&actor.principal(), lifetime, terms).await?;
        let kernel_args = self.kernel_args(&sealed.token)?;
        let addresses = self.addresses(None);
        let menus = menus(&kernel, &initrd, &kernel_args, &addresses).map_err(invalid)?;
        let (id, expires_at) = (issued.marks.jti.clone(), issued.expires_at.to_string());
        self.keep_token(&actor.cause(self.clock.now()), issued).await?;
        let (command, token) = (self.install_command(&sealed.token), sealed.token.reveal().to_owned());
        let files = links(&self.media.list(), &addresses);
        Ok(TokenCreated { token, id, expires_at, command, kernel_args, menus, files })
    }

    /// Nobody means a mesh network that is not there. One that goes later keeps no machine out.
    fn check_mesh(&self, terms: &Terms) -> Result<(), AppError> {
        let name = &terms.placement.mesh_network;
        if name.is_empty() || self.content().meshes.has(name) {
            return Ok(());
        }
        let message = format!("mesh network {name} does not exist; make it first, or leave it out");
        Err(AppError::new(AppErrorKind::Invalid, message).about("tokens", ""))
    }

    /// A bootstrap token, and what [`App::keep_token`] is to keep of it.
    ///
    /// # Errors
    /// `ValidationError` for terms that no token is made on.
    pub(super) async fn new_token(
        &self,
        by: &str,
        lifetime: u64,
        terms: Terms,
    ) -> Result<(Sealed, IssuedToken), AppError> {
        self.roll_token_key_if_due().await?;
        let claims = self.claims(by, lifetime, &terms).await?;
        let sealed = self.keys.seal(&claims).map_err(|error| match error {
            SealError::TooLong(_) => AppError::new(AppErrorKind::Invalid, error.to_string()),
            SealError::Jose(_) => AppError::internal(error),
        })?;
        let issued = IssuedToken {
            marks: marks(&claims, &sealed.kid),
            expires_at: Timestamp::from_seconds(claims.exp),
            terms,
            uses: 0,
            last_used_at: None,
        };
        Ok((sealed, issued))
    }

    /// Keeps what has to be known of a token that is handed out.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(super) async fn keep_token(&self, cause: &Cause, issued: IssuedToken) -> Result<(), AppError> {
        let row = AuditRow::new(AuditKind::TokenIssued, cause);
        let row = row.reason(format!("token {} until {}", issued.marks.jti, issued.expires_at));
        self.commit(Changes::new(cause.at).and(Change::IssueToken(issued)).audit(row), Vec::new()).await?;
        Ok(())
    }

    async fn claims(&self, by: &str, lifetime: u64, terms: &Terms) -> Result<BootstrapClaims, AppError> {
        let iat = self.first_second(by).await?;
        let ahead = iat.saturating_sub(self.clock.now().as_seconds());
        if ahead > AHEAD.as_secs() {
            let message = "all tokens were revoked again and again within seconds; retry in a moment";
            return Err(AppError::new(AppErrorKind::Unavailable, message).after(ahead));
        }
        Ok(BootstrapClaims {
            iss: self.keys.server_id().to_owned(),
            aud: AUDIENCE.to_owned(),
            jti: token_id(random().map_err(AppError::internal)?),
            iat,
            exp: iat.saturating_add(lifetime),
            by: by.to_owned(),
            role: terms.placement.roles.clone(),
            net: terms.placement.mesh_network.clone(),
            appr: terms.needs_approval,
            c: terms.constraints.claim().map_err(AppError::internal)?,
        })
    }

    /// The second in which a token of this issuer begins: now, or the next one when everything up to
    /// this moment was revoked within this second.
    async fn first_second(&self, by: &str) -> Result<u64, AppError> {
        let now = self.clock.now();
        let nobody = TokenMarks {
            jti: String::new(),
            by: by.to_owned(),
            kid: String::new(),
            issued_at: Timestamp::EPOCH,
        };
        let revocations = self.store.revocations_about(&nobody).await?;
        let standing = self.standing(by).await?;
        let epochs = revocations.into_iter().map(|revocation| revocation.not_before);
        Ok(first_second(now, epochs.chain(standing.and_then(|standing| standing.tokens_from))))
    }

    /// The arguments that tell an agent its servers, their pins and the token.
    fn kernel_args(&self, token: &BootstrapToken) -> Result<String, AppError> {
        let args = KernelArgs {
            servers: self.settings.advertise.clone(),
            ca_hash: self.keys.pins(),
            token: Some(token.clone()),
            ..KernelArgs::default()
        };
        args.render().map_err(|error| AppError::new(AppErrorKind::Invalid, error.to_string()))
    }

    /// What is kept of the tokens that were issued, newest first: a page of at most `limit`, from the
    /// one that follows the token `after` on. Never a token.
    ///
    /// # Errors
    /// `forbidden` without `bootstrap:token-list`, `ValidationError` for a page that cannot be.
    pub(crate) async fn tokens(
        &self,
        actor: &Actor,
        after: Option<&str>,
        limit: Option<u32>,
    ) -> Result<Vec<rest::Token>, AppError> {
        actor.require(Action::BootstrapTokenList)?;
        let invalid = |message: String| AppError::new(AppErrorKind::Invalid, message);
        let limit = limit.unwrap_or(TOKENS_PAGE);
        if !(1..=TOKENS_PAGE).contains(&limit) {
            return Err(invalid(format!("limit must be 1 to {TOKENS_PAGE}")));
        }
        let after = match after {
            Some(jti) => match self.store.token(jti).await? {
                Some(token) => Some(token.marks),
                None => {
                    return Err(invalid("after names no token of the list; begin anew without it".into()));
                }
            },
            None => None,
        };
        let tokens = self.store.tokens(after.as_ref(), limit).await?;
        let ended = self.ended(&tokens).await?;
        let now = self.clock.now();
        Ok(tokens.iter().map(|token| view(token, ended.state(token, now))).collect())
    }

    /// How many tokens of the list are live and covered by a revocation that is to come.
    pub(super) async fn live_tokens_of(&self, revocation: &Revocation) -> Result<u64, AppError> {
        if let Scope::Token(jti) = &revocation.scope {
            let token = self.store.token(jti).await?;
            return self.count_live(token.as_slice(), revocation).await;
        }
        let (mut live, mut after) = (0, None);
        loop {
            let tokens = self.store.tokens(after.as_ref(), TOKENS_PAGE).await?;
            let Some(last) = tokens.last() else { return Ok(live) };
            live += self.count_live(&tokens, revocation).await?;
            after = Some(last.marks.clone());
        }
    }

    async fn count_live(&self, tokens: &[IssuedToken], revocation: &Revocation) -> Result<u64, AppError> {
        let (ended, now) = (self.ended(tokens).await?, self.clock.now());
        let live = |token: &&IssuedToken| {
            revocation.covers(&token.marks) && ended.state(token, now) == TokenState::Live
        };
        u64::try_from(tokens.iter().filter(live).count()).map_err(AppError::internal)
    }

    /// What ended some of these tokens before their time.
    async fn ended(&self, tokens: &[IssuedToken]) -> Result<Ended, AppError> {
        let mut ended = Ended { single: HashSet::new(), wide: Vec::new(), issuers: HashMap::new() };
        for revocation in self.store.revocations_among(tokens).await? {
            match revocation.scope {
                Scope::Token(jti) => drop(ended.single.insert(jti)),
                Scope::User(_) | Scope::Server | Scope::Key(_) => ended.wide.push(revocation),
            }
        }
        for token in tokens {
            let by = &token.marks.by;
            if !ended.issuers.contains_key(by) {
                let from = if by == SERVER {
                    Some(Timestamp::EPOCH)
                } else {
                    let standing = self.standing(by).await?.filter(|standing| standing.may_issue());
                    standing.map(|standing| standing.tokens_from.unwrap_or(Timestamp::EPOCH))
                };
                ended.issuers.insert(by.clone(), from);
            }
        }
        Ok(ended)
    }
}

/// What ends tokens before their time, arranged for looking many of them up.
struct Ended {
    single: HashSet<String>,
    wide: Vec<Revocation>,
    /// From when on each issuer's tokens hold; none for an issuer who is gone.
    issuers: HashMap<String, Option<Timestamp>>,
}

impl Ended {
    fn state(&self, token: &IssuedToken, now: Timestamp) -> TokenState {
        let marks = &token.marks;
        let holds_from = self.issuers.get(&marks.by).copied().flatten();
        if now >= token.expires_at {
            TokenState::Expired
        } else if self.single.contains(&marks.jti)
            || self.wide.iter().any(|revocation| revocation.covers(marks))
            || holds_from.is_none_or(|from| marks.issued_at < from)
        {
            TokenState::Revoked
        } else if token.terms.constraints.max.is_some_and(|max| token.uses >= max) {
            TokenState::UsedUp
        } else {
            TokenState::Live
        }
    }
}

/// What revocations look at.
pub(super) fn marks(claims: &BootstrapClaims, kid: &str) -> TokenMarks {
    TokenMarks {
        jti: claims.jti.clone(),
        by: claims.by.clone(),
        kid: kid.to_owned(),
        issued_at: Timestamp::from_seconds(claims.iat),
    }
}

fn view(token: &IssuedToken, state: TokenState) -> rest::Token {
    let IssuedToken { marks, expires_at, terms, uses, last_used_at } = token;
    rest::Token {
        id: marks.jti.clone(),
        by: marks.by.clone(),
        issued_at: marks.issued_at.to_string(),
        expires_at: expires_at.to_string(),
        kid: marks.kid.clone(),
        state,
        uses: *uses,
        last_used_at: last_used_at.map(|at| at.to_string()),
        constraints: terms.constraints.view(),
        roles: terms.placement.roles.clone(),
        mesh_network: terms.placement.mesh_network.clone(),
        require_approval: terms.needs_approval,
    }
}

/// Where boot loaders find a file: where the operator said, else in a folder of ours.
fn place(asked: &str, name: &str) -> String {
    match asked {
        "" => format!("{FOLDER}/{name}"),
        asked => asked.to_owned(),
    }
}

/// Menu entries that load kernel and ramdisk from these places, and the one that loads them from here.
fn menus(
    kernel: &str,
    initrd: &str,
    kernel_args: &str,
    addresses: &Addresses,
) -> Result<BootMenus, DocumentError> {
    let entry = MenuEntry { kernel, initrd, kernel_args };
    let here = |name: &str| format!("{}/{FOLDER}/{name}", addresses.http());
    let from_server = || {
        let (kernel, initrd) = (here(KERNEL), here(INITRD));
        ipxe(&MenuEntry { kernel: &kernel, initrd: &initrd, kernel_args })
    };
    Ok(BootMenus {
        pxelinux: pxelinux(&entry)?,
        grub: grub(&entry)?,
        ipxe: ipxe(&entry)?,
        ipxe_from_server: addresses.http_open.then(from_server).transpose()?,
    })
}

/// Where kernel and ramdisk are fetched from.
fn links(media: &[MediaFile], addresses: &Addresses) -> Vec<BootLink> {
    let base = match addresses.http_open {
        true => format!("{}/{FOLDER}", addresses.http()),
        false => format!("{}/media", addresses.https()),
    };
    let find = |name: &str| media.iter().find(|file| file.name == name).cloned();
    let link =
        |MediaFile { name, size, sha256 }| BootLink { url: format!("{base}/{name}"), name, size, sha256 };
    [KERNEL, INITRD].into_iter().filter_map(find).map(link).collect()
}

/// An id of these random bytes. People type it: it begins with a letter, where a command line would take a hyphen for
/// an option.
fn token_id(mut bytes: [u8; 12]) -> String {
    let [first, ..] = &mut bytes;
    *first &= 0x7f;
    base64url(&bytes)
}

fn invalid(error: DocumentError) -> AppError {
    AppError::new(AppErrorKind::Invalid, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_of_a_token_is_no_option_of_a_command_line() {
        for first in 0..=u8::MAX {
            let id = token_id([first; 12]);
            assert!(id.len() == 16 && id.starts_with(|c: char| c.is_ascii_alphabetic()), "{id}");
        }
    }
}
