//! Numbers for Prometheus: requests as they are answered, the rest as it is when asked.

use crate::app::Figures;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Upper ends of the duration buckets, in seconds; held answers lie in the last ones.
const BUCKETS: [f64; 9] = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];

/// How old the figures may be that are told.
const FIGURES_LIFETIME: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

/// All metrics of one server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
    machines: Gauge,
    online: Gauge,
    enrollments: Family<StateLabels, Gauge>,
    subscribers: Gauge,
    downloads: Gauge,
    provisions: Gauge,
    /// The last figures: asking for them reads every machine, and everybody may ask.
    figures: Mutex<Option<(Instant, Figures)>>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("muster"),
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            machines: Gauge::default(),
            online: Gauge::default(),
            enrollments: Family::default(),
            subscribers: Gauge::default(),
            downloads: Gauge::default(),
            provisions: Gauge::default(),
            figures: Mutex::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("http_requests", "Answered requests", self.requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time to the answer's head",
            self.durations.clone(),
        );
        registry.register("machines", "Registered machines", self.machines.clone());
        registry.register("machines_online", "Machines heard within 60 seconds", self.online.clone());
        registry.register("enrollments", "Live enrollments by state", self.enrollments.clone());
        registry.register("downloads", "Downloads under way", self.downloads.clone());
        registry.register("provisions", "Provision runs under way", self.provisions.clone());
        registry.register("event_subscribers", "Open event streams", self.subscribers.clone());
        self
    }

    /// Counts an answered request. Routes are those of the table, methods are counted only when
    /// known, so that nobody can make up labels.
    pub(crate) fn count(&self, route: &str, method: &str, status: u16, took: Duration) {
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let method = if known.contains(&method) { method } else { "other" };
        let labels = RequestLabels { method: method.to_owned(), route: route.to_owned(), status };
        self.requests.get_or_create(&labels).inc();
        self.durations.get_or_create(&RouteLabels { route: route.to_owned() }).observe(took.as_secs_f64());
    }

    /// The figures of a moment ago, or those that `count` finds; it runs once for all who ask.
    pub(crate) async fn figures<E>(
        &self,
        now: Instant,
        count: impl Future<Output = Result<Figures, E>>,
    ) -> Result<Figures, E> {
        let mut last = self.figures.lock().await;
        if let Some((_, figures)) =
            last.filter(|(counted, _)| now.saturating_duration_since(*counted) < FIGURES_LIFETIME)
        {
            return Ok(figures);
        }
        let figures = count.await?;
        *last = Some((now, figures));
        Ok(figures)
    }

    /// The OpenMetrics text.
    pub(crate) fn render(&self, figures: Figures, downloads: usize) -> Result<String, std::fmt::Error> {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.machines.set(number(figures.machines));
        self.online.set(number(figures.online));
        self.subscribers.set(number(figures.subscribers));
        self.downloads.set(number(downloads));
        self.provisions.set(number(figures.provisions));
        for (state, count) in [("pending", figures.pending), ("approved", figures.approved)] {
            self.enrollments.get_or_create(&StateLabels { state }).set(number(count));
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_requests_are_told() {
        let metrics = Metrics::new();
        metrics.count("/api/v3/info", "GET", 200, Duration::from_millis(3));
        metrics.count("none", "BREW", 404, Duration::from_millis(3));
        let figures =
            Figures { machines: 3, online: 2, pending: 1, approved: 0, subscribers: 1, provisions: 5 };
        let text = metrics.render(figures, 4).unwrap();
        for line in [
            "muster_http_requests_total{method=\"GET\",route=\"/api/v3/info\",status=\"200\"} 1",
            "muster_http_requests_total{method=\"other\",route=\"none\",status=\"404\"} 1",
            "muster_machines 3",
            "muster_machines_online 2",
            "muster_downloads 4",
            "muster_provisions 5",
            "muster_enrollments{state=\"pending\"} 1",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }

    #[tokio::test]
    async fn figures_are_counted_once_in_five_seconds() {
        let (metrics, start) = (Metrics::new(), Instant::now());
        let counted = async |machines, now| {
            let count = async { Ok::<_, ()>(Figures { machines, ..Figures::default() }) };
            metrics.figures(now, count).await.unwrap().machines
        };
        assert_eq!((counted(1, start).await, counted(2, start).await), (1, 1));
        assert_eq!(counted(3, start + FIGURES_LIFETIME).await, 3);
    }
}
