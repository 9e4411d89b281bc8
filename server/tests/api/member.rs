//! A machine that is in a mesh network, as its member process speaks to the server: it asks what is new, keeps what
//! it was told, and reports. It has no tunnels.

use crate::support::{Answer, Fixture, Machine};
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use protocol::ids::MachineId;
use protocol::mesh::{
    MeshNews, MeshPeer, MeshReport, MeshReportAnswer, MeshSelf, PATH, PeerReport, PublicKey, REPORT_PATH,
    Way, read_answer, read_news,
};
use serde_json::{Value, json};
use server::from_address;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// A machine with what it knows of its mesh network.
pub(crate) struct Member {
    pub(crate) id: MachineId,
    pub(crate) name: String,
    /// Where its requests come from.
    pub(crate) source: SocketAddr,
    /// Its machine token.
    pub(crate) token: String,
    pub(crate) key: PublicKey,
    pub(crate) cursor: String,
    pub(crate) own: Option<MeshSelf>,
    pub(crate) peers: BTreeMap<MachineId, MeshPeer>,
    agent: Machine,
    access_token: String,
}

impl Member {
    /// Registers machine number `seed` by this bootstrap token, and gets what its agent gets for it.
    pub(crate) async fn register(fixture: &Fixture, seed: u8, bootstrap: &str) -> Self {
        let source = SocketAddr::from(([192, 0, 2, seed], 40_000));
        let mut agent = Machine::new(fixture, seed).await;
        let body = json!({"token": bootstrap, "inventory": {}}).to_string();
        let request = agent.request("/api/v3/bootstrap/register", &body, None);
        let answer = fixture.call(from_address(request, source)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let registered = answer.json();
        agent.nonce = registered["enrol_nonce"].as_str().unwrap().to_owned();
        let access = fixture.call(agent.request("/api/v3/agent/token", "{}", None)).await.json();
        agent.nonce = access["nonce"].as_str().unwrap().to_owned();
        let mut member = Self {
            id: registered["machine"]["Uuid"].as_str().unwrap().parse().unwrap(),
            name: registered["machine"]["Name"].as_str().unwrap().to_owned(),
            source,
            token: String::new(),
            key: PublicKey([seed; 32]),
            cursor: String::new(),
            own: None,
            peers: BTreeMap::new(),
            agent,
            access_token: access["access_token"].as_str().unwrap().to_owned(),
        };
        let ticket = member.as_agent(fixture, "/api/v3/agent/runner", "{}").await;
        member.token = ticket["token"].as_str().unwrap().to_owned();
        member
    }

    /// A call of its agent that goes well.
    async fn as_agent(&mut self, fixture: &Fixture, path: &str, body: &str) -> Value {
        let answer = fixture.call(self.agent.request(path, body, Some(&self.access_token))).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let answer = answer.json();
        self.agent.nonce = answer["nonce"].as_str().unwrap().to_owned();
        answer
    }

    /// What a heartbeat of its agent is answered, held for at most this many seconds.
    pub(crate) async fn beat(&mut self, fixture: &Fixture, seconds: u64) -> Value {
        let body = r#"{"state":"discovery","inventory_digest":""}"#;
        let mut answer = self.heartbeat(fixture, body, seconds).await;
        if answer.status == StatusCode::UNAUTHORIZED {
            // A server that started again gives nonces of its own.
            self.agent.nonce = answer.header("dpop-nonce").to_owned();
            answer = self.heartbeat(fixture, body, seconds).await;
        }
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let answer = answer.json();
        self.agent.nonce = answer["nonce"].as_str().unwrap().to_owned();
        answer
    }

    async fn heartbeat(&mut self, fixture: &Fixture, body: &str, seconds: u64) -> Answer {
        let mut request = self.agent.request("/api/v3/agent/heartbeat", body, Some(&self.access_token));
        request.headers_mut().insert("prefer", format!("wait={seconds}").parse().unwrap());
        fixture.call(request).await
    }

    /// Its path below `machines`.
    pub(crate) fn path(&self) -> String {
        format!("/api/v3/machines/{}", self.id)
    }

    /// Somebody brings it into this mesh network, or out of all.
    pub(crate) async fn is_moved(&self, fixture: &Fixture, mesh: &str) {
        let body = json!({"MeshNetwork": mesh}).to_string();
        let mut request = fixture.admin("PATCH", &self.path(), &body);
        request.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        let answer = fixture.call(request).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Request<Body> {
        let mut request = Fixture::request(method, path, body);
        let bearer = format!("Bearer {}", self.token).parse().unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        from_address(request, self.source)
    }

    /// Asks what is new, and waits for it for at most this many seconds; as it was answered.
    pub(crate) async fn ask(&self, fixture: &Fixture, seconds: u64) -> Answer {
        let mut request = self.request("GET", &format!("{PATH}?since={}", self.cursor), "");
        request.headers_mut().insert("prefer", format!("wait={seconds}").parse().unwrap());
        fixture.call(request).await
    }

    /// The same, and keeps it.
    pub(crate) async fn polls(&mut self, fixture: &Fixture, seconds: u64) -> MeshNews {
        let answer = self.ask(fixture, seconds).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let news = read_news(&answer.body).unwrap();
        if news.whole {
            self.peers.clear();
        }
        for gone in &news.gone {
            self.peers.remove(gone);
        }
        self.peers.extend(news.peers.iter().map(|peer| (peer.machine, peer.clone())));
        self.cursor.clone_from(&news.cursor);
        self.own.clone_from(&news.own);
        news
    }

    /// What it reports when it knows of nothing but itself.
    pub(crate) fn report(&self) -> MeshReport {
        MeshReport {
            key: Some(self.key),
            port: 51_820,
            addresses: vec![IpAddr::from([
                198,
                51,
                100,
                self.source.ip().to_string().rsplit('.').next().unwrap().parse().unwrap(),
            ])],
            peers: Vec::new(),
            vips: Vec::new(),
            error: String::new(),
        }
    }

    /// Sends these bytes as its report.
    pub(crate) async fn sends(&self, fixture: &Fixture, body: &str) -> Answer {
        fixture.call(self.request("POST", REPORT_PATH, body)).await
    }

    /// Reports, which goes well.
    pub(crate) async fn reports(&self, fixture: &Fixture, report: &MeshReport) -> MeshReportAnswer {
        let answer = self.sends(fixture, &serde_json::to_string(report).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        read_answer(&answer.body).unwrap()
    }

    /// Tells its key.
    pub(crate) async fn says_hello(&self, fixture: &Fixture) {
        self.reports(fixture, &self.report()).await;
    }
}

/// A tunnel as one end sees it.
pub(crate) fn tunnel(to: &Member, handshake: Option<u64>, tried: u64) -> PeerReport {
    PeerReport {
        machine: to.id,
        endpoint: Some(SocketAddr::from(([203, 0, 113, 7], 4_500))),
        handshake,
        tried,
        received: 1_000,
        sent: 2_000,
        way: Way::Direct,
    }
}

/// A bootstrap token.
pub(crate) async fn bootstrap_token(fixture: &Fixture) -> String {
    let answer = fixture.call(fixture.admin("POST", "/api/v3/bootstrap/tokens", r#"{"Lifetime":600}"#)).await;
    answer.json()["Token"].as_str().unwrap().to_owned()
}

/// A mesh network.
pub(crate) async fn make_mesh(fixture: &Fixture, name: &str, cidrs: &[&str]) {
    let body = json!({"Name": name, "Cidrs": cidrs}).to_string();
    let answer = fixture.call(fixture.admin("POST", "/api/v3/meshes", &body)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
}
