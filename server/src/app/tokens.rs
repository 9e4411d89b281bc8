//! Bootstrap tokens: issued to be pasted into the boot servers that exist already.

use super::App;
use super::actor::{Action, Actor};
use super::error::{AppError, AppErrorKind};
use crate::keys::{SealError, random};
use engine::admission::{AUDIENCE, BootstrapClaims};
use engine::change::{AuditKind, AuditRow, Change, Changes, IssuedToken};
use engine::time::Timestamp;
use protocol::cmdline::KernelArgs;
use protocol::rest::{BootMenus, TOKEN_LIFETIMES, TokenCreate, TokenCreated};
use protocol::token::{BootstrapToken, base64url};
use pxe::documents::{DocumentError, MenuEntry, grub, ipxe, pxelinux};

/// File names under which boot servers usually hold our kernel and initrd.
const KERNEL: &str = "muster/vmlinuz";
const INITRD: &str = "muster/initrd";

impl App {
    /// Issues a bootstrap token with everything needed to paste it somewhere.
    ///
    /// # Errors
    /// `ValidationError` for a lifetime that is not offered, or a line too long for a kernel.
    pub(crate) async fn create_token(
        &self,
        actor: &Actor,
        request: TokenCreate,
    ) -> Result<TokenCreated, AppError> {
        actor.require(Action::BootstrapTokenCreate)?;
        let claims = self.claims(actor, request.lifetime)?;
        let token = self.keys.seal(&claims).map_err(|error| match error {
            SealError::TooLong(_) => AppError::new(AppErrorKind::Invalid, error.to_string()),
            SealError::Jose(_) => AppError::internal(error),
        })?;
        let kernel_args = self.kernel_args(&token)?;
        let menus = menus(&kernel_args)?;
        let issued = IssuedToken {
            jti: claims.jti.clone(),
            by: claims.by.clone(),
            issued_at: Timestamp::from_seconds(claims.iat),
            expires_at: Timestamp::from_seconds(claims.exp),
            uses: 0,
            revoked_at: None,
        };
        let expires_at = issued.expires_at.to_string();
        let cause = actor.cause(self.clock.now());
        let row = AuditRow::new(AuditKind::TokenIssued, &cause);
        let row = row.reason(format!("token {} until {expires_at}", claims.jti));
        self.store.commit(&Changes::new(cause.at).and(Change::IssueToken(issued)).audit(row)).await?;
        Ok(TokenCreated { token: token.reveal().to_owned(), id: claims.jti, expires_at, kernel_args, menus })
    }

    fn claims(&self, actor: &Actor, lifetime: u64) -> Result<BootstrapClaims, AppError> {
        if !TOKEN_LIFETIMES.contains(&lifetime) {
            let message = format!("Lifetime must be one of {TOKEN_LIFETIMES:?} seconds");
            return Err(AppError::new(AppErrorKind::Invalid, message));
        }
        let iat = self.clock.now().as_seconds();
        Ok(BootstrapClaims {
            iss: self.keys.server_id().to_owned(),
            aud: AUDIENCE.to_owned(),
            jti: base64url(&random::<12>().map_err(AppError::internal)?),
            iat,
            exp: iat.saturating_add(lifetime),
            by: actor.principal(),
            appr: false,
            c: serde_json::Value::Null,
        })
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
}

fn menus(kernel_args: &str) -> Result<BootMenus, AppError> {
    let entry = MenuEntry { kernel: KERNEL, initrd: INITRD, kernel_args };
    let invalid = |error: DocumentError| AppError::new(AppErrorKind::Invalid, error.to_string());
    Ok(BootMenus {
        pxelinux: pxelinux(&entry).map_err(invalid)?,
        grub: grub(&entry).map_err(invalid)?,
        ipxe: ipxe(&entry).map_err(invalid)?,
    })
}
