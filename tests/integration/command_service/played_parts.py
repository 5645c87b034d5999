"""The gateway and a connector, as a test of the command service plays them over gRPC."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import grpc

from service_kit.grpc_errors import from_domain_error
from service_kit.live_events.memory import InMemoryLiveEvents
from service_kit.messaging.memory import MemoryBroker, MemoryMessaging
from service_kit.messaging.port import IncomingMessage
from sovd_protos.audit.v1 import audit_pb2_grpc
from sovd_protos.command.v1 import command_pb2, command_pb2_grpc
from sovd_protos.connector.v1 import connector_pb2, connector_pb2_grpc
from sovd_protos.vehicle.v1 import vehicle_pb2, vehicle_pb2_grpc

TOKEN = "a-service-token-for-tests"
VIN = "WDD1234567890ABCD"
ADMIN = command_pb2.Actor(user_id=str(uuid4()), username="admin", role="admin")
ENGINEER = command_pb2.Actor(user_id=str(uuid4()), username="engineer", role="engineer")


class Client:
    """Everything one may ask of the service, and what it publishes."""

    def __init__(self, channel: grpc.aio.Channel, broker: MemoryBroker, live: InMemoryLiveEvents) -> None:
        self.channel = channel
        self.commands: Any = command_pb2_grpc.CommandServiceStub(channel)
        self.vehicles: Any = vehicle_pb2_grpc.VehicleServiceStub(channel)
        self.audit: Any = audit_pb2_grpc.AuditServiceStub(channel)
        self.connectors: Any = connector_pb2_grpc.ConnectorServiceStub(channel)
        self.messaging = MemoryMessaging(broker)
        self.live = live

    async def vehicle(self) -> str:
        request = vehicle_pb2.CreateVehicleRequest(vin=VIN, make="Mercedes", model="E-Class", year=2024, actor=ADMIN)
        created: vehicle_pb2.Vehicle = await self.vehicles.CreateVehicle(request)
        return created.vehicle_id

    async def submit(self, vehicle_id: str, name: str = "ReadDTC", **facts: Any) -> command_pb2.Command:
        submission = command_pb2.Submission(
            command_id=str(uuid4()),
            vehicle_id=vehicle_id,
            command_name=name,
            command_params='{"ecuAddress":"0x10"}',
            actor=ENGINEER,
            **facts,
        )
        answer = await self.commands.SubmitCommands(command_pb2.SubmitCommandsRequest(submissions=[submission]))
        (result,) = answer.results
        if result.HasField("error"):
            raise from_domain_error(result.error)
        command: command_pb2.Command = result.command
        return command

    async def get(self, command_id: str) -> command_pb2.Command:
        command: command_pb2.Command = await self.commands.GetCommand(
            command_pb2.GetCommandRequest(command_id=command_id)
        )
        return command


class Connector:
    """A connector as a test plays it: what it says, and the answers by their kind."""

    def __init__(self, client: Client, connector_id: str = "c1") -> None:
        self.connector_id = connector_id
        self.delivered: asyncio.Queue[IncomingMessage] = asyncio.Queue()
        self.control: asyncio.Queue[IncomingMessage] = asyncio.Queue()
        self._client = client
        self._call = client.connectors.Attach()

    async def attach(self, **held: Any) -> connector_pb2.Registered:
        for prefix, queue in (("connector", self.delivered), ("control", self.control)):
            name = f"{prefix}.{self.connector_id}"
            await self._client.messaging.consume(name, [name], queue.put, prefetch=100)
        await self.say(registration=connector_pb2.Registration(connector_id=self.connector_id, **held))
        return (await self.hear(lambda answer: answer.HasField("registered"))).registered

    async def open_session(self, *held: connector_pb2.OpenCommand, vin: str = VIN) -> connector_pb2.SessionAnswer:
        ecus = [vehicle_pb2.Ecu(address=0x10, name="ECM")]
        opened = connector_pb2.SessionOpened(request_id=7, vin=vin, ecus=ecus, held=held)
        await self.say(sessions_opened=[opened])
        answer = await self.hear(lambda answer: bool(answer.session_answers))
        return answer.session_answers[0]

    async def claim(self) -> tuple[connector_pb2.DispatchedCommand, connector_pb2.ClaimAnswer]:
        async with asyncio.timeout(10):
            message = await self.delivered.get()
        (command,) = connector_pb2.DispatchedCommands.FromString(message.body).commands
        claim = connector_pb2.Claim(
            command_id=command.command_id,
            dispatch_number=command.dispatch_number,
            vehicle_id=command.vehicle_id,
            session_epoch=command.session_epoch,
        )
        await self.say(claims=[claim])
        answer = await self.hear(lambda answer: bool(answer.claim_answers))
        await message.ack()
        return command, answer.claim_answers[0]

    async def report(self, command_id: str, *contents: Any, attempt: int = 1) -> list[connector_pb2.ResultAck]:
        results = []
        for number, content in enumerate(contents, 1):
            result = connector_pb2.Result(command_id=command_id, attempt=attempt, number=number)
            if isinstance(content, str):
                result.response = content
            elif isinstance(content, connector_pb2.Progress):
                result.progress.CopyFrom(content)
            else:
                result.outcome.CopyFrom(content)
            results.append(result)
        await self.say(results=results)
        return list((await self.hear(lambda answer: bool(answer.result_acks))).result_acks)

    async def say(self, **parts: Any) -> None:
        await self._call.write(connector_pb2.FromConnector(**parts))

    async def hear(self, wanted: Callable[[connector_pb2.ToConnector], bool]) -> connector_pb2.ToConnector:
        async with asyncio.timeout(10):
            while True:
                answer = await self._call.read()
                assert answer is not grpc.aio.EOF, "the stream ended"  # type: ignore[attr-defined]
                if wanted(answer):
                    heard: connector_pb2.ToConnector = answer
                    return heard

    async def ending(self) -> grpc.StatusCode:
        async with asyncio.timeout(10):
            code: grpc.StatusCode = await self._call.code()
        return code

    async def leave(self) -> None:
        await self._call.done_writing()
