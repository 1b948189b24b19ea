"""Every service, built once from the settings: the routes, the pages and the command line all call these."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from api.access.door import Door
from api.access.grants import Grants
from api.access.limits import Limits
from api.access.own_sessions import OwnSessions
from api.access.people import People
from api.access.projects import Projects
from api.access.service import Access
from api.access.sessions import BrowserSessions, Lives
from api.access.strength import Strength, keys_open_pages
from api.audit.anchor import Anchors
from api.audit.service import Audit
from api.bulk.service import Bulk
from api.cases.files import Files
from api.cases.forgetting import Forgetting
from api.cases.service import Cases
from api.erasures.service import Erasures
from api.explanations.service import Explanations
from api.ground.ground import Ground
from api.ground.secret import trail_key
from api.models.lineage import Lineage
from api.models.service import Models
from api.predictions.doubt import weigh
from api.predictions.service import Predictions
from api.promotion.service import Promotions
from api.reviews.golden import GoldenSet
from api.reviews.service import Reviews
from api.settings import Settings
from api.shadows.service import Shadows
from api.training.service import Training
from api.watching.keeper import Keeper
from api.watching.looking import Looking
from api.watching.service import Watching

if TYPE_CHECKING:
    from api.access.oidc import OpenIdConnect


@dataclass(frozen=True)
class Services:
    """What the product does, a room each."""

    ground: Ground
    access: Access
    people: People
    sessions: BrowserSessions
    own_sessions: OwnSessions
    oidc: OpenIdConnect | None
    """None where no provider is set."""
    door: Door
    projects: Projects
    audit: Audit
    anchors: Anchors
    cases: Cases
    files: Files
    models: Models
    lineage: Lineage
    predictions: Predictions
    bulk: Bulk
    explanations: Explanations
    reviews: Reviews
    golden: GoldenSet
    promotions: Promotions
    shadows: Shadows
    training: Training
    watching: Watching
    keeper: Keeper
    erasures: Erasures
    forgetting: Forgetting

    def close(self) -> None:
        """Stop threads and give back connections."""
        self.predictions.close()
        self.anchors.close()
        self.audit.close()
        self.access.uses.close()
        if self.oidc is not None:
            self.oidc.close()
        self.ground.close()


def build(settings: Settings) -> Services:
    """The services over the ground that the settings describe; the one place that says who needs whom."""
    ground = Ground.of(settings)
    key = trail_key(settings.workspace)
    trail = settings.trail_folder
    audit = Audit(ground.database, key, trail)
    limits = Limits(settings.rate_limit, settings.rate_limit_failures, settings.rate_limit_storage)
    grants = Grants.load(settings.oidc_grants)
    access = Access(ground.database, audit.record, limits)
    people = People(ground.database, audit.record, access.uses, grants)
    oidc = _provider(settings, grants)
    sessions = BrowserSessions(ground.database, audit.record, access, people, _lives(settings))
    cases = Cases(ground, audit, weigh)
    models = Models(ground, audit)
    predictions = Predictions(ground, audit, cases, models)
    promotions = Promotions(ground, audit, cases, models)
    training = Training(ground, audit, cases, models, promotions)
    watching = Watching(ground, models)
    return Services(
        ground=ground,
        access=access,
        people=people,
        sessions=sessions,
        own_sessions=OwnSessions(ground.database, audit.record, sessions),
        oidc=oidc,
        door=Door(access, people, oidc, limits, keys_open_pages=keys_open_pages(settings)),
        projects=Projects(ground.database, audit.record, settings.deidentify),
        audit=audit,
        anchors=Anchors(ground.database, settings.anchors_file, trail / "anchors.lock", key, audit.take_up),
        cases=cases,
        files=Files(ground, cases),
        models=models,
        lineage=Lineage(cases, models),
        predictions=predictions,
        bulk=Bulk(ground, audit, models),
        explanations=Explanations(ground, audit, cases, models, predictions),
        reviews=Reviews(ground, audit, cases, predictions),
        golden=GoldenSet(ground, audit, cases),
        promotions=promotions,
        shadows=Shadows(ground, audit, models),
        training=training,
        watching=watching,
        keeper=Keeper(ground, Looking(ground, audit, models, watching, training)),
        erasures=Erasures(ground, audit, cases, models),
        forgetting=Forgetting(ground),
    )


def _provider(settings: Settings, grants: Grants) -> OpenIdConnect | None:
    if not settings.oidc_issuer:
        return None
    from api.access.oidc import OpenIdConnect

    return OpenIdConnect(settings, grants)


def _lives(settings: Settings) -> Lives:
    absolute, idle = timedelta(hours=settings.session_hours), timedelta(minutes=settings.session_idle_minutes)
    sign_in, by_key = Strength.of(settings).max_age, keys_open_pages(settings)
    return Lives(absolute, idle, settings.session_ends_with_token, sign_in, by_key)
