"""Every service, built once from the settings: the routes, the pages and the command line all call these."""

from __future__ import annotations

from dataclasses import dataclass

from api.access.projects import Projects
from api.access.service import Access
from api.audit.service import Audit
from api.cases.files import Files
from api.cases.service import Cases
from api.explanations.service import Explanations
from api.ground.ground import Ground
from api.models.lineage import Lineage
from api.models.service import Models
from api.predictions.doubt import weigh
from api.predictions.service import Predictions
from api.promotion.service import Promotions
from api.reviews.service import Reviews
from api.settings import Settings
from api.shadows.service import Shadows
from api.training.service import Training
from api.watching.keeper import Keeper
from api.watching.looking import Looking
from api.watching.service import Watching


@dataclass(frozen=True)
class Services:
    """What the product does, a room each."""

    ground: Ground
    access: Access
    projects: Projects
    audit: Audit
    cases: Cases
    files: Files
    models: Models
    lineage: Lineage
    predictions: Predictions
    explanations: Explanations
    reviews: Reviews
    promotions: Promotions
    shadows: Shadows
    training: Training
    watching: Watching
    keeper: Keeper

    def close(self) -> None:
        """Stop threads and give back connections."""
        self.predictions.close()
        self.ground.close()


def build(settings: Settings) -> Services:
    """The services over the ground that the settings describe; the one place that says who needs whom."""
    ground = Ground.of(settings)
    audit = Audit(ground.database)
    access = Access(ground.database, audit.record)
    cases = Cases(ground, audit, weigh)
    models = Models(ground, audit)
    predictions = Predictions(ground, audit, cases, models)
    promotions = Promotions(ground, audit, cases, models)
    training = Training(ground, audit, cases, models, promotions)
    watching = Watching(ground, models)
    return Services(
        ground=ground,
        access=access,
        projects=Projects(ground.database, audit.record, settings.deidentify),
        audit=audit,
        cases=cases,
        files=Files(ground, cases),
        models=models,
        lineage=Lineage(cases, models),
        predictions=predictions,
        explanations=Explanations(ground, audit, cases, models, predictions),
        reviews=Reviews(ground, audit, cases, predictions),
        promotions=promotions,
        shadows=Shadows(ground, audit, models),
        training=training,
        watching=watching,
        keeper=Keeper(ground, Looking(ground, audit, models, watching, training)),
    )
