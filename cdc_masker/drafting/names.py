"""What a column is about, by its name, comment and type: a first guess, in some languages, for people to correct.

A `Classifier` is the port for better ones. What it says is written into drafts that people read and keep: a classification, how
sure it is, and evidence that quotes neither a value nor a comment.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Protocol

import msgspec

from cdc_masker.drafting.tables import SourceColumn, SourceTable
from cdc_masker.kinds import Kind

__all__ = ["BySchema", "Classification", "Classifier"]


class Classification(msgspec.Struct, frozen=True, kw_only=True):
    """`label` is what a rule gets as its classification; None: it is nothing personal by itself.

    `joins`: people look for equal values of it, so that a token is of use; else it is redacted. `hint` is what else could be
    done. `confidence` lies between 0 and 1.
    """

    label: str | None
    evidence: str
    confidence: float
    joins: bool = False
    hint: str | None = None


class Classifier(Protocol):
    """Says what a column is about."""

    def classify(self, table: SourceTable, column: SourceColumn, sample: Sequence[str]) -> Classification | None:
        """None: it can't tell. `sample` are some values that are not null, as texts, or none at all."""
        ...


class _Class(msgspec.Struct, frozen=True, kw_only=True):
    said: str
    words: str
    kinds: frozenset[Kind]
    personal: bool = True
    joins: bool = False
    hint: str | None = None


_TEXT = frozenset((Kind.TEXT,))
_CODED = _TEXT | {Kind.ENUM, Kind.BOOLEAN, Kind.SMALL_INTEGER, Kind.INTEGER}
_NUMBERED = _TEXT | {Kind.INTEGER, Kind.DECIMAL, Kind.UUID}
_NUMBER = frozenset((Kind.SMALL_INTEGER, Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL))
_MOMENT = frozenset((Kind.DATE, Kind.TIMESTAMP))

# The first that fits decides. Words stand as one writes them without blanks, signs and accents.
_CLASSES = (
    _Class(
        said="credentials",
        words="password passwd pwd passwort kennwort motdepasse contrasena senha wachtwoord secret apikey accesstoken "
        "refreshtoken authtoken privatekey otp pin salt passwordhash passhash cvv cvc securitycode",
        kinds=_TEXT | {Kind.BYTES, Kind.INTEGER, Kind.SMALL_INTEGER},
        hint="nobody downstream needs it: `op.drop_column` leaves it out",
    ),
    _Class(said="email", words="email mail emailaddress courriel correo emailadresse", kinds=_TEXT, joins=True),
    _Class(
        said="payment card",
        words="cardnumber cardno creditcard ccnumber ccnum pan kreditkarte kartennummer cartebancaire tarjeta",
        kinds=_TEXT | {Kind.INTEGER, Kind.DECIMAL},
        hint="`card` would leave its ends",
    ),
    _Class(
        said="bank account",
        words="iban bban bankaccount accountnumber accountno kontonummer routingnumber sortcode bic swift numerocompte",
        kinds=_NUMBERED,
        joins=True,
    ),
    _Class(
        said="national identifier",
        words="ssn socialsecurity socialsecuritynumber nationalid nationalidentifier nino nhsnumber sin taxid tin vatid "
        "steuerid steuernummer sozialversicherungsnummer nif nie dni cpf cnpj curp bsn pesel codicefiscale personnummer "
        "aadhaar passport passportnumber passportno reisepass passeport idcard ausweisnummer drivinglicence "
        "driverlicense driverslicense licenseplate kennzeichen",
        kinds=_NUMBERED,
        joins=True,
    ),
    _Class(
        said="ip address",
        words="ip ipaddress ipaddr ipv4 ipv6 clientip remoteip remoteaddr",
        kinds=_TEXT,
        hint="`ip` would leave the network",
    ),
    _Class(
        said="device",
        words="mac macaddress imei imsi iccid deviceid useragent cookie sessionid fingerprint advertisingid",
        kinds=_NUMBERED,
    ),
    _Class(
        said="phone",
        words="phone phonenumber telephone tel mobile cell cellphone fax telefon telefonnummer handy rufnummer mobil telefono "
        "telefone movil celular telefoon portable",
        kinds=_NUMBERED,
        hint="`phone` would leave the country code",
    ),
    _Class(
        said="birth date",
        words="dob birth birthdate dateofbirth birthday birthyear born geburt geburtsdatum geboren naissance datenaissance "
        "datedenaissance nacimiento fechanacimiento fechadenacimiento nascimento geboortedatum",
        kinds=_MOMENT | _TEXT | _NUMBER,
        hint="`year` would leave the year",
    ),
    _Class(
        said="username",
        words="username login loginname nickname nick screenname handle benutzername usuario utilisateur gebruikersnaam",
        kinds=_TEXT,
        joins=True,
    ),
    _Class(
        said="postcode",
        words="postcode postalcode zip zipcode plz postleitzahl codepostal codigopostal cep",
        kinds=_TEXT | _NUMBER,
        hint="`truncate` would leave the region",
    ),
    _Class(
        said="name",
        words="firstname lastname fullname middlename maidenname givenname familyname surname forename fname lname vorname "
        "nachname familienname nom prenom nombre apellido apellidos nome cognome sobrenome naam voornaam achternaam "
        "imie nazwisko customername contactname",
        kinds=_TEXT,
    ),
    _Class(
        said="address",
        words="address addr street streetaddress housenumber city town district county adresse strasse hausnummer ort stadt "
        "rue ville direccion calle ciudad endereco rua cidade indirizzo via citta adres straat",
        kinds=_TEXT,
    ),
    _Class(
        said="location",
        words="latitude longitude lat lon lng geo geolocation coordinates location gps",
        kinds=_NUMBER | _TEXT | {Kind.POINT},
    ),
    _Class(
        said="sensitive",
        words="gender sex geschlecht religion ethnicity race diagnosis disease bloodtype health disability nationality "
        "maritalstatus orientation political union",
        kinds=_CODED,
    ),
    _Class(
        said="free text",
        words="note notes comment comments remark remarks description message body text bio about feedback content bemerkung "
        "kommentar beschreibung notiz commentaire comentario observaciones note opmerking",
        kinds=_TEXT,
    ),
    _Class(
        said="picture",
        words="picture photo image avatar portrait signature foto bild scan",
        kinds=_TEXT | {Kind.BYTES},
    ),
    _Class(
        said="name of somebody or something",
        words="name displayname title titel titre titulo",
        kinds=_TEXT,
        personal=False,
        hint="keep it where it names no people",
    ),
    _Class(
        said="money",
        words="salary income wage amount price total subtotal balance cost fee payment rate gehalt betrag preis summe montant "
        "prix salaire importe precio salario prezzo bedrag prijs",
        kinds=_NUMBER,
        personal=False,
        hint="a number: `round` or `bucket` it, or keep it",
    ),
    _Class(
        said="quantity",
        words="quantity qty count number size length width height weight duration score rating menge anzahl quantite cantidad "
        "age",
        kinds=_NUMBER,
        personal=False,
        hint="a number: `round` or `bucket` it, or keep it",
    ),
    _Class(
        said="time of a change",
        words="createdat created creationdate createdate createdon updatedat updated updatedon lastupdate lastupdated "
        "modified modifiedat deletedat insertedat timestamp",
        kinds=_MOMENT,
        personal=False,
        hint="`month` would leave the month; keep it where it says nothing about people",
    ),
)
_BY_WORD = tuple((each, frozenset(each.words.split())) for each in _CLASSES)


_BY_TYPE = {
    **dict.fromkeys(("inet", "cidr"), "ip address"),
    **dict.fromkeys(("macaddr", "macaddr8"), "device"),
    **dict.fromkeys(("point", "lseg", "box", "path", "polygon", "circle"), "location"),
}


class BySchema:
    """By the name of a column; less sure, by what its comment says or what its type is for."""

    def classify(self, table: SourceTable, column: SourceColumn, sample: Sequence[str]) -> Classification | None:
        for where, text, confidence in (("name", column.name, 0.7), ("comment", column.comment or "", 0.4)):
            words = _words(text)
            for each, known in _BY_WORD:
                if column.kind in each.kinds and words & known and (each.personal or "id" not in words):
                    return _classification(each, where, confidence)
        said = _BY_TYPE.get(column.type.partition("(")[0])
        return next((_classification(each, "type", 0.5) for each in _CLASSES if each.said == said), None)


def _classification(found: _Class, where: str, confidence: float) -> Classification:
    return Classification(
        label=found.said if found.personal else None,
        evidence=f"its {where} says: {found.said}",
        confidence=confidence,
        joins=found.joins,
        hint=found.hint,
    )


_LONGEST = 4
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")


def _words(text: str) -> frozenset[str]:
    """The words of a text, or of a name in snake or camel case, and up to four of them that follow each other, as one."""
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss"))  # an accent ends a part, as a blank does
    words = [word.casefold() for word in _PARTS.findall(plain)]
    return frozenset(
        "".join(words[start : start + length]) for length in range(1, _LONGEST + 1) for start in range(len(words) - length + 1)
    )
