//! Byte ranges and conditions of downloads (RFC 9110 sections 13 and 14). Pure.
//!
//! One range is honoured; several are answered with the whole file, which the RFC allows and
//! no boot loader minds.

use axum::http::{HeaderMap, header};

/// What to answer to a request for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    /// 200: all of it.
    Whole,
    /// 206: these bytes; `last` is included.
    Part {
        /// First byte.
        first: u64,
        /// Last byte.
        last: u64,
    },
    /// 304: the caller has it.
    NotModified,
    /// 412: the caller wants another version.
    PreconditionFailed,
    /// 416: outside the file.
    Unsatisfiable,
}

/// Decides from the headers, the file's length and its entity tag.
pub(crate) fn select(headers: &HeaderMap, len: u64, etag: &str) -> Selection {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    if text(header::IF_MATCH).is_some_and(|tags| !names(tags, etag)) {
        return Selection::PreconditionFailed;
    }
    if text(header::IF_NONE_MATCH).is_some_and(|tags| names(tags, etag)) {
        return Selection::NotModified;
    }
    let Some(range) = text(header::RANGE) else { return Selection::Whole };
    // Another version, or a date, which this server does not give: the whole of the present one.
    if text(header::IF_RANGE).is_some_and(|tag| tag != etag) {
        return Selection::Whole;
    }
    match range.strip_prefix("bytes=") {
        Some(ranges) if !ranges.contains(',') => one_range(ranges.trim(), len),
        _ => Selection::Whole,
    }
}

/// Whether a list of entity tags names this one. Weak tags compare weakly.
fn names(tags: &str, etag: &str) -> bool {
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// `FIRST-LAST`, `FIRST-` or `-COUNT`. What is not one of them is ignored, as the RFC says.
fn one_range(range: &str, len: u64) -> Selection {
    let Some((first, last)) = range.split_once('-') else { return Selection::Whole };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than 64 bits hold are still a number, beyond every file.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let end = len.saturating_sub(1);
    match (first, number(first), number(last)) {
        ("", None, Some(count)) if count > 0 && len > 0 => {
            Selection::Part { first: len.saturating_sub(count), last: end }
        }
        ("", None, Some(_)) => Selection::Unsatisfiable,
        (_, Some(first), None) if last.is_empty() => within(first, end, len),
        (_, Some(first), Some(last)) if first <= last => within(first, last.min(end), len),
        _ => Selection::Whole,
    }
}

fn within(first: u64, last: u64, len: u64) -> Selection {
    if first < len { Selection::Part { first, last } } else { Selection::Unsatisfiable }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ETAG: &str = "\"v1\"";

    fn with(pairs: &[(header::HeaderName, &str)]) -> Selection {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(name.clone(), value.parse().unwrap());
        }
        select(&headers, 100, ETAG)
    }

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        use Selection::{Part, Unsatisfiable, Whole};
        for (range, selection) in [
            ("bytes=0-0", Part { first: 0, last: 0 }),
            ("bytes=10-19", Part { first: 10, last: 19 }),
            ("bytes=90-", Part { first: 90, last: 99 }),
            ("bytes=90-1000", Part { first: 90, last: 99 }),
            ("bytes=-1", Part { first: 99, last: 99 }),
            ("bytes=-1000", Part { first: 0, last: 99 }),
            ("bytes=5-99999999999999999999999", Part { first: 5, last: 99 }),
            ("bytes=100-", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=20-10", Whole),
            ("bytes=a-b", Whole),
            ("bytes=+1-5", Whole),
            ("bytes=-", Whole),
            ("bytes=", Whole),
            ("lines=1-2", Whole),
            ("bytes=0-1,5-6", Whole),
        ] {
            assert_eq!(with(&[(header::RANGE, range)]), selection, "{range}");
        }
    }

    #[test]
    fn conditions_come_before_ranges() {
        let range = (header::RANGE, "bytes=0-1");
        let part = Selection::Part { first: 0, last: 1 };
        for (condition, selection) in [
            ((header::IF_RANGE, ETAG), part),
            ((header::IF_RANGE, "\"v0\""), Selection::Whole),
            ((header::IF_RANGE, "Wed, 21 Oct 2026 07:28:00 GMT"), Selection::Whole),
            ((header::IF_NONE_MATCH, "\"v0\", W/\"v1\""), Selection::NotModified),
            ((header::IF_NONE_MATCH, "*"), Selection::NotModified),
            ((header::IF_NONE_MATCH, "\"v0\""), part),
            ((header::IF_MATCH, "\"v0\""), Selection::PreconditionFailed),
            ((header::IF_MATCH, ETAG), part),
        ] {
            assert_eq!(with(&[range.clone(), condition.clone()]), selection, "{condition:?}");
        }
    }

    proptest! {
        #[test]
        fn part_always_lies_inside_the_file(range in "(bytes=)?[0-9,-]{0,24}", len in 0u64..200) {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, range.parse().unwrap());
            if let Selection::Part { first, last } = select(&headers, len, ETAG) {
                prop_assert!(first <= last && last < len);
            }
        }
    }
}
