//! An instant query of Prometheus' HTTP API (`/api/v1/query`).

use serde_json::Value;

use super::{Look, Seen, http};
use crate::{
    http::escaped,
    profile::{Bound, Url},
};

/// Which of a query's series have to be within the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Series {
    /// All: a steady state.
    All,
    /// One is enough: a condition that comes true.
    Any,
}

pub(super) async fn look(url: &Url, query: &str, bound: &Bound, series: Series) -> Look {
    let base = url.path.trim_end_matches('/');
    let path = format!("{base}/api/v1/query?query={}", escaped(query));
    let (status, text) = http::get(url, &path).await?;
    let answer: Value = serde_json::from_slice(&text)
        .map_err(|_| format!("status {status}, and what came is no answer of Prometheus"))?;
    read(&answer, bound, series)
}

/// The value that decides: within the bound when all are, or one is.
fn read(answer: &Value, bound: &Bound, series: Series) -> Look {
    if answer["status"] != "success" {
        let error = answer["error"].as_str().unwrap_or("no reason given");
        return Err(format!("Prometheus refuses the query: {error}"));
    }
    let result = &answer["data"]["result"];
    let values: Vec<f64> = match answer["data"]["resultType"].as_str() {
        Some("scalar") => number(result).into_iter().collect(),
        Some("vector") => result
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|series| number(&series["value"]))
            .collect(),
        _ => return Err("the query gives no single values: ask for an instant vector".into()),
    };
    if series == Series::Any
        && let Some(first) = values.iter().find(|value| bound.holds(**value))
    {
        return Ok(Seen::Measured(*first));
    }
    if let Some(first) = values.iter().find(|value| !bound.holds(**value)) {
        if first.is_nan() {
            return Err("NaN".into());
        }
        return Ok(Seen::Measured(*first));
    }
    let farthest = if bound.below.is_some() {
        values.into_iter().reduce(f64::max)
    } else {
        values.into_iter().reduce(f64::min)
    };
    farthest
        .map(Seen::Measured)
        .ok_or_else(|| "no data: the query matches no series".to_owned())
}

/// `[time, "value"]`
fn number(pair: &Value) -> Option<f64> {
    pair.get(1)?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn vector(values: &[&str]) -> Value {
        let series: Vec<Value> = values
            .iter()
            .map(|value| json!({"metric": {}, "value": [1.5, value]}))
            .collect();
        json!({"status": "success", "data": {"resultType": "vector", "result": series}})
    }

    const BELOW: Bound = Bound {
        below: Some(1.0),
        above: None,
    };

    #[test]
    fn the_worst_series_counts() {
        assert_eq!(
            read(&vector(&["0.1", "0.5"]), &BELOW, Series::All),
            Ok(Seen::Measured(0.5))
        );
        assert_eq!(
            read(&vector(&["0.1", "7", "0.5"]), &BELOW, Series::All),
            Ok(Seen::Measured(7.0))
        );
        let above = Bound {
            below: None,
            above: Some(1.0),
        };
        assert_eq!(
            read(&vector(&["3", "2"]), &above, Series::All),
            Ok(Seen::Measured(2.0))
        );
    }

    #[test]
    fn a_condition_comes_true_with_one_series() {
        let above = Bound {
            below: None,
            above: Some(1.0),
        };
        let read = |values: &[&str]| read(&vector(values), &above, Series::Any);
        assert_eq!(read(&["0", "40"]), Ok(Seen::Measured(40.0)));
        assert_eq!(read(&["0", "0.5"]), Ok(Seen::Measured(0.0)));
        assert!(read(&["NaN"]).is_err() && read(&[]).is_err());
    }

    #[test]
    fn what_is_no_value_fails() {
        for (answer, told) in [
            (vector(&[]), "no data: the query matches no series"),
            (vector(&["NaN"]), "NaN"),
            (
                json!({"status": "error", "error": "parse error"}),
                "Prometheus refuses the query: parse error",
            ),
            (
                json!({"status": "success", "data": {"resultType": "matrix", "result": []}}),
                "the query gives no single values: ask for an instant vector",
            ),
        ] {
            assert_eq!(read(&answer, &BELOW, Series::All), Err(told.to_owned()));
        }
    }

    #[test]
    fn a_query_is_encoded_for_its_url() {
        assert_eq!(escaped("rate(a[1m])"), "rate%28a%5B1m%5D%29");
    }
}
