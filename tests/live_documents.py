"""OpenAPI documents as fal publishes them for an endpoint, for several folders."""

from typing import Any

ID = "alibaba/lucky-goat/image-to-video"
SPEECH = "someone/choir/text-to-speech"
PICTURES = "fal-ai/fluff/dev"


def document(
    endpoint_id: str, taken: dict[str, Any], given: dict[str, Any], **components: Any
) -> dict[str, Any]:
    """A document in fal's form: schemas in `components`, named by the paths of the queue."""
    name = "".join(word.capitalize() for word in endpoint_id.replace("-", "/").split("/"))
    path = f"/{endpoint_id}"

    def body(part: str) -> dict[str, Any]:
        return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{part}"}}}}

    status = {"200": {"description": "The request status.", **body("QueueStatus")}}
    return {
        "openapi": "3.0.4",
        "info": {
            "title": f"Queue OpenAPI for {endpoint_id}",
            "version": "1.0.0",
            "x-fal-metadata": {"endpointId": endpoint_id, "category": endpoint_id.rpartition("/")[2]},
        },
        "components": {
            "securitySchemes": {"apiKeyAuth": {"type": "apiKey", "in": "header", "name": "Authorization"}},
            "schemas": {
                "QueueStatus": {"type": "object", "properties": {"status": {"type": "string"}}},
                f"{name}Input": {"title": f"{name}Input", "type": "object", **taken},
                f"{name}Output": {"title": f"{name}Output", "type": "object", **given},
                **components,
            },
        },
        "paths": {
            f"{path}/requests/{{request_id}}/status": {"get": {"responses": status}},
            f"{path}/requests/{{request_id}}/cancel": {"put": {"responses": {}}},
            path: {"post": {"requestBody": {"required": True, **body(f"{name}Input")}, "responses": status}},
            f"{path}/requests/{{request_id}}": {"get": {"responses": {"200": body(f"{name}Output")}}},
        },
        "servers": [{"url": "https://queue.fal.run"}],
    }


def optional(kind: str, **more: Any) -> dict[str, Any]:
    """An optional value as pydantic writes it."""
    return {"anyOf": [{"type": kind, **more}, {"type": "null"}]}


def file(title: str, **more: Any) -> dict[str, Any]:
    """fal's File component, under one of its names."""
    properties = {
        "url": {"type": "string", "description": "The URL where the file can be downloaded from."},
        "content_type": {**optional("string"), "examples": ["image/png"]},
        "file_size": optional("integer"),
    }
    return {"title": title, "type": "object", "required": ["url"], "properties": properties, **more}


GOAT = document(
    ID,
    {
        "required": ["image_url"],
        "x-fal-order-properties": ["image_url", "prompt", "gone", "end_frame_url", "duration", "camera"],
        "properties": {
            "seed": {"title": "Seed", "description": "Random seed.", **optional("integer")},
            "camera": {"allOf": [{"$ref": "#/components/schemas/Camera"}], "description": "How it moves."},
            "duration": {"type": "integer", "title": "Duration", "enum": [3, 5], "default": 5},
            "prompt": {"title": "Prompt", "description": "What happens.", **optional("string", maxLength=90)},
            "image_url": {"type": "string", "title": "Image Url", "description": "The first frame."},
            "end_frame_url": {"title": "End Frame Url", **optional("string")},
        },
    },
    {
        "required": ["video"],
        "properties": {
            "seed": {"type": "integer"},
            "video": {"$ref": "#/components/schemas/VideoFile", "description": "The video."},
        },
    },
    Camera={
        "title": "Camera",
        "type": "object",
        "required": ["move"],
        "properties": {
            "move": {"type": "string", "enum": ["pan", "tilt"]},
            "by": {"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 9, "default": 1},
        },
    },
    VideoFile=file("VideoFile"),
)

CHOIR = document(
    SPEECH,
    {"required": ["text"], "properties": {"text": {"type": "string", "description": "What is sung."}}},
    {"properties": {"song": {"$ref": "#/components/schemas/Audio"}}},
    Audio=file("File", ui={"field": "audio"}),
)

FLUFF = document(
    PICTURES,
    {
        "required": ["prompt"],
        "properties": {
            "prompt": {"type": "string"},
            "image_size": {
                "anyOf": [
                    {"$ref": "#/components/schemas/ImageSize"},
                    {"type": "string", "enum": ["square", "portrait"]},
                ],
                "default": "square",
            },
        },
    },
    {"properties": {"images": {"type": "array", "items": {"$ref": "#/components/schemas/Image"}}}},
    Image=file("Image"),
    ImageSize={"type": "object", "properties": {"width": {"type": "integer"}, "height": {"type": "integer"}}},
)
