//! `devnet_`: faults on purpose. Only a development network serves these.
//!
//! Each method answers with all seats as they stand after it.

use std::sync::Arc;

use anfs_primitives::SeatIndex;

use super::{Api, Reply};
use crate::backend::{BackendError, DevnetControl};
use crate::error::{METHOD_NOT_FOUND, RpcError};
use crate::params::Params;
use crate::shapes::json;

fn control(api: &Api) -> Result<&Arc<dyn DevnetControl>, RpcError> {
    api.backend.devnet.as_ref().ok_or_else(|| {
        RpcError::new(
            METHOD_NOT_FOUND,
            "devnet_ methods are served by `anfs devnet` only: this is another node",
        )
    })
}

pub(crate) fn seats(api: &Api, params: Params<'_>) -> Reply {
    let control = control(api)?;
    params.end()?;
    json(&control.seats())
}

/// Does something to one seat, and answers how all of them are.
fn on_seat(
    api: &Api,
    mut params: Params<'_>,
    act: impl FnOnce(&dyn DevnetControl, SeatIndex) -> Result<(), BackendError>,
) -> Reply {
    let control = control(api)?;
    let seat = params.required()?;
    params.end()?;
    act(&**control, seat)?;
    json(&control.seats())
}

/// `devnet_stopSeat(seat)`
pub(crate) fn stop_seat(api: &Api, params: Params<'_>) -> Reply {
    on_seat(api, params, |control, seat| control.stop_seat(seat))
}

/// `devnet_startSeat(seat)`
pub(crate) fn start_seat(api: &Api, params: Params<'_>) -> Reply {
    on_seat(api, params, |control, seat| control.start_seat(seat))
}

/// `devnet_releaseSeat(seat)`
pub(crate) fn release_seat(api: &Api, params: Params<'_>) -> Reply {
    on_seat(api, params, |control, seat| control.release_seat(seat))
}

/// `devnet_cut(seats)`
pub(crate) fn cut(api: &Api, mut params: Params<'_>) -> Reply {
    let control = control(api)?;
    let seats: Vec<SeatIndex> = params.required()?;
    params.end()?;
    control.cut(&seats)?;
    json(&control.seats())
}

pub(crate) fn heal(api: &Api, params: Params<'_>) -> Reply {
    let control = control(api)?;
    params.end()?;
    control.heal();
    json(&control.seats())
}
