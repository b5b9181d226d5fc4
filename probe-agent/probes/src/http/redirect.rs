//! What an answer that points elsewhere leads to. Pure.

use shared_protocol::report::{NotFollowed, NotFollowedReason};
use shared_protocol::spec::{HttpHeader, HttpMethod};
use shared_protocol::url::{HttpUrl, Scheme};

use crate::text::shown;

/// One request to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub url: HttpUrl,
    pub method: HttpMethod,
    pub headers: Vec<HttpHeader>,
    pub body: Option<String>,
}

/// What comes after an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: it is the answer.
    Final,
    /// Another request.
    Follow(Box<Request>),
    /// It points elsewhere, but is not followed.
    Stay(NotFollowed),
}

/// Decides after an answer. `before` are the requests made so far, the one that was answered last.
pub(super) fn next(before: &[Request], status: u16, location: Option<&[u8]>, limit: u32) -> Next {
    let (Some(request), Some(location), true) = (before.last(), location, POINTS_ELSEWHERE.contains(&status)) else {
        return Next::Final;
    };
    let location = String::from_utf8_lossy(location);
    let stay = |reason| {
        Next::Stay(NotFollowed {
            location: shown(&location, LOCATION_CHARACTERS),
            reason,
        })
    };
    let Some(url) = resolve(&request.url, &location) else {
        return stay(NotFollowedReason::NotHttp);
    };
    if limit == 0 {
        return stay(NotFollowedReason::NotAsked);
    }
    if request.url.scheme() == Scheme::Https && url.scheme() == Scheme::Http {
        return stay(NotFollowedReason::Downgrade);
    }
    let following = after(request, status, url);
    // Without a memory for cookies the same request would have the same answer.
    if before.iter().any(|made| made.url == following.url && made.method == following.method) {
        return stay(NotFollowedReason::Loop);
    }
    let followed = before.len().saturating_sub(1);
    if u32::try_from(followed).is_ok_and(|followed| followed >= limit) {
        return stay(NotFollowedReason::TooMany);
    }
    Next::Follow(Box::new(following))
}

/// The address meant, relative to where it was found (RFC 3986 section 5), in the one spelling that is accepted.
fn resolve(base: &HttpUrl, location: &str) -> Option<HttpUrl> {
    let base = url::Url::parse(&base.to_string()).ok()?;
    let mut joined = base.join(location).ok()?;
    joined.set_fragment(None);
    HttpUrl::parse(joined.as_str()).ok()
}

/// The request that follows (RFC 9110 section 15.4, and the Fetch standard where it lets a client choose).
fn after(request: &Request, status: u16, url: HttpUrl) -> Request {
    let becomes_get = match status {
        303 => request.method != HttpMethod::Head,
        301 | 302 => request.method == HttpMethod::Post,
        _ => false,
    };
    let mut headers = request.headers.clone();
    if !url.is_same_origin(&request.url) {
        // What was meant for one server is not for another to see.
        headers.retain(|header| FOR_ANY_SERVER.contains(&header.name.as_str()));
    }
    let (method, body) = if becomes_get {
        headers.retain(|header| !header.name.starts_with("content-"));
        (HttpMethod::Get, None)
    } else {
        (request.method, request.body.clone())
    };
    Request { url, method, headers, body }
}

/// Statuses whose `Location` is to be followed.
const POINTS_ELSEWHERE: [u16; 5] = [301, 302, 303, 307, 308];
const FOR_ANY_SERVER: [&str; 4] = ["accept", "accept-encoding", "accept-language", "user-agent"];
const LOCATION_CHARACTERS: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;
    use test_fuzz::{Reading, Target};

    fn request(url: &str) -> Request {
        let header = |name: &str| HttpHeader {
            name: name.to_owned(),
            value: "x".to_owned(),
        };
        Request {
            url: HttpUrl::parse(url).unwrap(),
            method: HttpMethod::Get,
            headers: vec![header("accept"), header("x-secret"), header("content-type")],
            body: None,
        }
    }

    fn led(before: &[Request], location: &str) -> Result<String, NotFollowedReason> {
        match next(before, 302, Some(location.as_bytes()), 5) {
            Next::Follow(request) => Ok(request.url.to_string()),
            Next::Stay(stay) => Err(stay.reason),
            Next::Final => panic!("{location} was no redirect"),
        }
    }

    #[test]
    fn a_location_is_read_relative_to_where_it_was_found() {
        let at = [request("http://a.test/b/c?d")];
        for (location, url) in [
            ("/x", "http://a.test/x"),
            ("x", "http://a.test/b/x"),
            ("../x", "http://a.test/x"),
            ("?x", "http://a.test/b/c?x"),
            ("//b.test:81/x", "http://b.test:81/x"),
            ("https://b.test/x#y", "https://b.test/x"),
            ("http://b.test/a b\u{e4}", "http://b.test/a%20b%C3%A4"),
            ("http://0x7f.1/", "http://127.0.0.1/"),
            ("http://[::FFFF:127.0.0.1]/", "http://[::ffff:127.0.0.1]/"),
        ] {
            assert_eq!(led(&at, location), Ok(url.to_owned()), "{location}");
        }
    }

    #[test]
    fn job_05_what_must_not_be_followed_is_told_and_left() {
        let http = [request("http://a.test/")];
        for location in [
            "file:///etc/passwd",
            "gopher://127.0.0.1/",
            "ftp://a.test/",
            "http://user:pass@a.test/x",
            "http://",
            "javascript:1",
            "http://a.test:0/",
        ] {
            assert_eq!(led(&http, location), Err(NotFollowedReason::NotHttp), "{location}");
        }
        assert_eq!(led(&[request("https://a.test/")], "http://a.test/"), Err(NotFollowedReason::Downgrade));
        let way: Vec<Request> = (0..3).map(|hop| request(&format!("http://a.test/{hop}"))).collect();
        assert_eq!(led(&way, "/1"), Err(NotFollowedReason::Loop));
        let long: Vec<Request> = (0..6).map(|hop| request(&format!("http://a.test/{hop}"))).collect();
        assert_eq!(led(&long, "/6"), Err(NotFollowedReason::TooMany));
        assert_eq!(led(&long[..5], "/6"), Ok("http://a.test/6".to_owned()));
        let Next::Stay(stay) = next(&http, 302, Some(b"/x"), 0) else { panic!() };
        assert_eq!(stay.reason, NotFollowedReason::NotAsked);
    }

    #[test]
    fn only_a_redirect_with_a_location_leads_anywhere() {
        let at = [request("http://a.test/")];
        for (status, location) in [(200, Some(&b"/x"[..])), (304, Some(b"/x")), (300, Some(b"/x")), (302, None)] {
            assert_eq!(next(&at, status, location, 5), Next::Final, "{status}");
        }
    }

    #[test]
    fn what_was_meant_for_one_server_is_not_told_to_another() {
        let names = |location: &str| {
            let Next::Follow(request) = next(&[request("http://a.test/")], 307, Some(location.as_bytes()), 5) else {
                panic!("{location} was not followed")
            };
            request.headers.into_iter().map(|header| header.name).collect::<Vec<_>>()
        };
        assert_eq!(names("/x"), ["accept", "x-secret", "content-type"]);
        assert_eq!(names("http://b.test/"), ["accept"]);
        assert_eq!(names("http://a.test:81/"), ["accept"]);
    }

    #[test]
    fn a_post_becomes_a_get_where_browsers_do_so_too() {
        for (status, method, body) in [
            (301, HttpMethod::Get, None),
            (302, HttpMethod::Get, None),
            (303, HttpMethod::Get, None),
            (307, HttpMethod::Post, Some("b")),
        ] {
            let post = Request {
                method: HttpMethod::Post,
                body: Some("b".to_owned()),
                ..request("http://a.test/")
            };
            let Next::Follow(following) = next(&[post], status, Some(b"/x"), 5) else {
                panic!()
            };
            assert_eq!((following.method, following.body.as_deref()), (method, body), "{status}");
        }
    }

    #[test]
    fn job_05_fuzz_location() {
        let target =
            Target::new("location", include_str!("../../corpus/location.txt")).with_words(&[b"//", b"@", b"..", b"[", b"]", b":", b"%", b"\\", b"https:"]);
        let before = [request("https://a.test/begin")];
        target.survives(|location| match next(&before, 302, Some(location), 5) {
            Next::Follow(request) => {
                let url = request.url.to_string();
                assert_eq!(HttpUrl::parse(&url).unwrap().to_string(), url, "it has one spelling");
                assert_eq!(request.url.scheme(), Scheme::Https);
                Reading::Taken
            }
            Next::Stay(told) => {
                assert!(told.location.chars().count() <= LOCATION_CHARACTERS + 1);
                Reading::Refused
            }
            Next::Final => Reading::Refused,
        });
    }
}
