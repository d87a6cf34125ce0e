"""Gives a secret to a node: stored encrypted with the graph, handed only to nodes that declare it.

Run it with:  exospherehost dev examples/node_secrets.py "the text to sign"
"""

import asyncio
import hashlib
import hmac
import secrets
import sys

from pydantic import BaseModel
from support import details, finished, running

from exospherehost import BaseNode, GraphNodeModel

NAMESPACE = "signing"


class SignInputs(BaseModel):
    """What to sign."""

    text: str


class SignOutputs(BaseModel):
    """The signature, in hexadecimal digits."""

    signature: str


class SignSecrets(BaseModel):
    """Names that the graph must give values for."""

    signing_key: str


class Sign(BaseNode[SignInputs, SignOutputs, SignSecrets]):
    """Signs a text; the models in the brackets make `inputs` and `secrets` fully typed."""

    async def execute(self) -> SignOutputs:
        """Sign with HMAC-SHA256."""
        key = self.secrets.signing_key.encode()
        return SignOutputs(signature=hmac.digest(key, self.inputs.text.encode(), hashlib.sha256).hex())


async def main(text: str) -> None:
    """Run the graph with a fresh key, and check what comes out."""
    key = secrets.token_hex(32)
    sign = GraphNodeModel(node_name="Sign", namespace=NAMESPACE, identifier="sign", inputs={"text": text})
    async with running(NAMESPACE, [Sign]) as manager:
        stored = await manager.upsert_graph("sign", [sign], secrets={"signing_key": key})
        print(f"what the service tells of the secrets: {stored['secrets']}")
        run_id = (await manager.trigger("sign", inputs={}))["run_id"]
        run = await finished(manager.raw_client, NAMESPACE, run_id)
        [state] = await details(manager.raw_client, NAMESPACE, run_id, run, "sign")
    expected = hmac.digest(key.encode(), text.encode(), hashlib.sha256).hex()
    if state.outputs["signature"] != expected:
        sys.exit("the signature is wrong")
    print(f"signature of {text!r}: {state.outputs['signature']}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "the text to sign"))
